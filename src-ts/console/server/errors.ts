/** What the server refuses, as an error with its code. */

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
  ) {
    super(message);
  }
}

/** Of an answer that is no success. */
export async function refusalOf(answer: Response): Promise<ApiError> {
  const { status, statusText } = answer;
  try {
    const { error } = (await answer.json()) as { error: { message: string; code: string | null } };
    return new ApiError(error.message, status, error.code ?? "");
  } catch {
    return new ApiError(statusText || `HTTP ${status}`, status, "");
  }
}
