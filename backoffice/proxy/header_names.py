"""Which fields go through, by name: closed lists, and why each entry stands in one.

Names are lower-case with hyphens; a door compares after folding the same way. The
lists are exported with the route table, so that every door goes by the same.
"""

from __future__ import annotations

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    }
)
NOT_SENT = HOP_BY_HOP | {
    # Secrets of the browser and this site. Our cookie would be a login elsewhere.
    "cookie",
    "authorization",
    "x-csrftoken",
    "x-backoffice",
    # Framing and routing are made anew; two of either is request smuggling.
    "host",
    "content-length",
    "expect",
    # To old programs behind CGI this names the proxy for their own calls (httpoxy).
    "proxy",
    # Claims about who and from where, which only we may make.
    "forwarded",
    "x-session-id",
    "x-request-id",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-cluster-client-ip",
    "client-ip",
    # The allowed method and path could be swapped for others behind the gate.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-original-uri",
    "x-original-host",
    "x-rewrite-url",
    # Page addresses are not the upstream's business, and the gate has judged the
    # origin: an upstream that knows no name of ours would refuse its own callers.
    "origin",
    "referer",
}
NOT_SENT_PREFIXES = (
    "proxy-",
    "sec-",
    "access-control-request-",
    "x-forwarded-",
    "x-staff-",
    "x-gate",
    "x-remote-",
    "remote-",
    "x-client-",
    "x-ssl-",
    "ssl-",
)
NOT_RETURNED = HOP_BY_HOP | {
    # Rules for a whole origin or a whole browser: ours to make, not a tenant's.
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "public-key-pins",
    "public-key-pins-report-only",
    "expect-ct",
    "alt-svc",
    "clear-site-data",
    "service-worker-allowed",
    "origin-agent-cluster",
    "accept-ch",
    "critical-ch",
    "nel",
    "report-to",
    "reporting-endpoints",
    "permissions-policy",
    "document-policy",
    "speculation-rules",
    "timing-allow-origin",
    "refresh",
    # Replaced by our own below, or set by the site for every answer.
    "cache-control",
    "pragma",
    "expires",
    "age",
    "vary",
    "content-security-policy",
    "content-security-policy-report-only",
    "x-content-security-policy",
    "x-webkit-csp",
    "x-content-type-options",
    "x-frame-options",
    "x-xss-protection",
    "referrer-policy",
    "x-request-id",
    "x-session-id",
    # Orders to a web server in front of us: "send this file instead".
    "x-sendfile",
    "x-lighttpd-send-file",
    "x-litespeed-location",
    # What runs behind the gate is nobody's business.
    "server",
    "date",
    "via",
    "x-powered-by",
    "x-generator",
    "x-runtime",
}
NOT_RETURNED_PREFIXES = (
    "access-control-",
    "cross-origin-",
    "proxy-",
    "sec-",
    "attribution-reporting-",
    "x-accel-",
    "x-aspnet",
    "x-gate",
    "x-staff-",
)
# Fields that have one value. Of two, each reader would choose its own.
SINGLE = {
    "content-type",
    "content-length",
    "content-range",
    "content-disposition",
    "etag",
    "last-modified",
    "location",
    "retry-after",
}
# Dropped unless a route names them in `response_headers`. What is in no such list here
# can never be let through: it speaks for the whole origin, or in our name.
OPTIONAL_ANSWER_FIELDS = frozenset(
    {
        "document-policy",
        "permissions-policy",
        "timing-allow-origin",
        "x-aspnet-version",
        "x-aspnetmvc-version",
        "x-generator",
        "x-powered-by",
        "x-runtime",
    }
)
