/** Styles are bundled; a script imports them for that alone. */
declare module "*.css";
