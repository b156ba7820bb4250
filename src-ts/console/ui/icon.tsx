/** Icons as paths of one 24-unit grid. They are decoration: whoever uses one gives it a name. */

const paths = {
  start: "M3 11.5 12 4l9 7.5M5.5 10v9.5h13V10",
  chat: "M4 5h16v11H9l-4 4v-4H4z",
  live: "M3 12h4l3-8 4 16 3-8h4",
  plus: "M12 5v14M5 12h14",
  search: "M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM15.5 15.5 20 20",
  send: "M12 20V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  attach:
    "M19 11.5 12 18.5a4.2 4.2 0 0 1-6-6l7.5-7.5a2.8 2.8 0 0 1 4 4L10 16.5a1.4 1.4 0 0 1-2-2l6.5-6.5",
  copy: "M9 9h10v11H9zM5 15V4h10",
  check: "M5 12.5 10 17.5 19.5 7",
  edit: "M4 20l1-4.5L16 4.5l3.5 3.5L8.5 19z",
  again: "M19 12a7 7 0 1 1-2.2-5.1M19 3.5V8h-4.5",
  fork: "M7 4v16M7 14c6 0 10-1 10-6V4M4.5 6.5 7 4l2.5 2.5M14.5 6.5 17 4l2.5 2.5",
  left: "M14.5 6 8.5 12l6 6",
  right: "M9.5 6l6 6-6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  close: "M6 6l12 12M18 6 6 18",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  menu: "M4 7h16M4 12h16M4 17h16",
  settings: "M5 7h9M18 7h1M5 17h1M10 17h9M16 4.5v5M8 14.5v5",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
  auto: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  keyboard: "M3 6.5h18v11H3zM7 10h.01M10.5 10h.01M14 10h.01M17.5 10h.01M8 14h8",
  file: "M6 3.5h8l4 4v13H6zM14 3.5v4h4",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13",
  exit: "M14 4.5H5v15h9M10 12h10M16.5 8.5 20 12l-3.5 3.5",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}
