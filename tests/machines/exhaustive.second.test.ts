import { searchShare } from "./exhaustive/loaded.js";

searchShare(1);
