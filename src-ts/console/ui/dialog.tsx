/** Dialogs by the browser's own element: focus stays inside, Escape closes, and focus goes back. */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { t } from "../strings.js";
import { Icon } from "./icon.js";

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  /** At the side, over the whole height. */
  side?: boolean;
  /** It can't be closed: there is nothing behind it. */
  fixed?: boolean;
}

export function Dialog({ title, onClose, children, side = false, fixed = false }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const close = () => {
    if (!fixed) onClose();
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape does what a click beside it does.
    <dialog
      ref={dialog}
      class={side ? "side" : ""}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClick={(event) => {
        if (event.target === dialog.current) close();
      }}
    >
      <div class="dialog-body">
        <header class="dialog-head">
          <h2 id={id}>{title}</h2>
          {!fixed && (
            <button type="button" class="icon-button" aria-label={t.common.close} onClick={close}>
              <Icon name="close" />
            </button>
          )}
        </header>
        {children}
      </div>
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  why?: string;
  action: string;
  danger?: boolean;
  onConfirm: () => void;
  onClose: () => void;
}

export function Confirm({ title, why, action, danger = false, onConfirm, onClose }: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      {why !== undefined && <p class="dialog-text">{why}</p>}
      <div class="dialog-actions">
        <button type="button" onClick={onClose}>
          {t.common.cancel}
        </button>
        <button
          type="button"
          class={danger ? "danger" : "primary"}
          onClick={() => {
            onConfirm();
            onClose();
          }}
        >
          {action}
        </button>
      </div>
    </Dialog>
  );
}
