// expect: TS2322
import { connect } from "mlx-serving/client";

const client = await connect("ws://127.0.0.1:8088");
export const stream = client.respond({ input: 42 });
