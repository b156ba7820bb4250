/** The console: mounts the page and starts what it lives on. Every text is in `strings.ts`. */
import { render } from "preact";
import "./style/colors.css";
import "./style/base.css";
import "./style/shell.css";
import "./style/chat.css";
import "./style/composer.css";
import "./style/markdown.css";
import "./style/live.css";
import "./style/requests.css";
import "./style/start.css";
import "uplot/dist/uPlot.min.css";
import { App } from "./app/app.js";
import { startSession } from "./app/session.js";
import { startShortcuts } from "./app/shortcuts.js";
import { startFeed } from "./server/feed.js";
import { startRouter } from "./ui/router.js";

startRouter();
startShortcuts();
startFeed();
render(<App />, document.getElementById("console")!);
void startSession();
