/* Reason phrases, in a table by number: an answer looks one up without a search. */
#include "codec/http_status.h"

#define TEXT(status, text) [status - 100] = {text, sizeof(text) - 1}

static const struct str texts[412] = {
    TEXT(100, "Continue"),
    TEXT(101, "Switching Protocols"),
    TEXT(102, "Processing"),
    TEXT(103, "Early Hints"),
    TEXT(200, "OK"),
    TEXT(201, "Created"),
    TEXT(202, "Accepted"),
    TEXT(203, "Non-Authoritative Information"),
    TEXT(204, "No Content"),
    TEXT(205, "Reset Content"),
    TEXT(206, "Partial Content"),
    TEXT(207, "Multi-Status"),
    TEXT(300, "Multiple Choices"),
    TEXT(301, "Moved Permanently"),
    TEXT(302, "Found"),
    TEXT(303, "See Other"),
    TEXT(304, "Not Modified"),
    TEXT(307, "Temporary Redirect"),
    TEXT(308, "Permanent Redirect"),
    TEXT(400, "Bad Request"),
    TEXT(401, "Unauthorized"),
    TEXT(402, "Payment Required"),
    TEXT(403, "Forbidden"),
    TEXT(404, "Not Found"),
    TEXT(405, "Method Not Allowed"),
    TEXT(406, "Not Acceptable"),
    TEXT(407, "Proxy Authentication Required"),
    TEXT(408, "Request Timeout"),
    TEXT(409, "Conflict"),
    TEXT(410, "Gone"),
    TEXT(411, "Length Required"),
    TEXT(412, "Precondition Failed"),
    TEXT(413, "Content Too Large"),
    TEXT(414, "URI Too Long"),
    TEXT(415, "Unsupported Media Type"),
    TEXT(416, "Range Not Satisfiable"),
    TEXT(417, "Expectation Failed"),
    TEXT(421, "Misdirected Request"),
    TEXT(422, "Unprocessable Content"),
    TEXT(423, "Locked"),
    TEXT(424, "Failed Dependency"),
    TEXT(425, "Too Early"),
    TEXT(426, "Upgrade Required"),
    TEXT(428, "Precondition Required"),
    TEXT(429, "Too Many Requests"),
    TEXT(431, "Request Header Fields Too Large"),
    TEXT(451, "Unavailable For Legal Reasons"),
    TEXT(500, "Internal Server Error"),
    TEXT(501, "Not Implemented"),
    TEXT(502, "Bad Gateway"),
    TEXT(503, "Service Unavailable"),
    TEXT(504, "Gateway Timeout"),
    TEXT(505, "HTTP Version Not Supported"),
    TEXT(507, "Insufficient Storage"),
    TEXT(508, "Loop Detected"),
    TEXT(511, "Network Authentication Required"),
};

struct str http_status_text(unsigned status)
{
    struct str none = STR("Unknown");
    if (status < 100 || status - 100 >= ARRAY_LEN(texts) || !texts[status - 100].n)
        return none;
    return texts[status - 100];
}
