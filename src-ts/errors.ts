/** The one error class of the public face: every failure has a code, a status and, if it is the input's fault, the field. */

export type ErrorType =
  | "invalid_request_error"
  | "authentication_error"
  | "permission_error"
  | "not_found_error"
  | "conflict_error"
  | "rate_limit_error"
  | "overloaded_error"
  | "server_error";

/** The four public fields of an error. */
export interface ErrorBody {
  message: string;
  type: ErrorType;
  param: string | null;
  code: string | null;
}

export interface ErrorOptions {
  code: string;
  status: number;
  param?: string | null;
  /** Seconds, for the `Retry-After` header. */
  retryAfterS?: number;
  cause?: unknown;
}

const typesByStatus: Record<number, ErrorType> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  409: "conflict_error",
  413: "invalid_request_error",
  415: "invalid_request_error",
  422: "invalid_request_error",
  429: "rate_limit_error",
  503: "overloaded_error",
};

export class ServingError extends Error {
  override readonly name = "ServingError";
  readonly code: string;
  readonly status: number;
  readonly param: string | null;
  readonly retryAfterS: number | undefined;

  constructor(message: string, options: ErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code;
    this.status = options.status;
    this.param = options.param ?? null;
    this.retryAfterS = options.retryAfterS;
  }

  get type(): ErrorType {
    const byRange = this.status < 500 ? "invalid_request_error" : "server_error";
    return typesByStatus[this.status] ?? byRange;
  }

  /** What clients see. */
  toBody(): ErrorBody {
    return { message: this.message, type: this.type, param: this.param, code: this.code };
  }
}

export function isServingError(value: unknown): value is ServingError {
  return value instanceof ServingError;
}
