// Fetches the short-lived credential with which this page calls the gateway, and renews it before it ends.

const EARLY_MS = 60_000;

export function ticketFrom(url, csrfToken) {
  let ticket = null;
  let endsAt = 0;
  return async () => {
    if (Date.now() < endsAt - EARLY_MS) return ticket;
    const response = await fetch(url, { method: "POST", headers: { "X-CSRFToken": csrfToken } });
    if (response.redirected || response.status === 401) throw new Error("You are signed out. Sign in again.");
    if (!response.ok) throw new Error("Your role no longer allows trying models here.");
    const answer = await response.json();
    [ticket, endsAt] = [answer.ticket, Date.parse(answer.expires_at)];
    return ticket;
  };
}
