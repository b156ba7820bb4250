/** VitePress's own theme with the fonts that a machine has: no page asks another host for anything. */
import Theme from "vitepress/theme-without-fonts";
import "./style.css";

export default Theme;
