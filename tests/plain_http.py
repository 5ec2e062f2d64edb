"""For calls without TLS: httpx would read every certificate authority's for each client, longer than a call takes."""

import ssl

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
