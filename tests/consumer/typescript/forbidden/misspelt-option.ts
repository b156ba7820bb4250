// expect: TS2353
import { serve } from "mlx-serving";

export const server = serve({ prot: 8088 });
