/* Looks for secrets at each place of a text in turn; knows nothing of what the text is. Pure,
 * linear but for the length of one secret. */
#include "codec/redact.h"

#include <ctype.h>

#include "base/mem.h"

enum { TOKEN_BYTES_MIN = 8, NAME_BYTES_MAX = 32 };

/* Names as they are compared: small letters, without - and _. */
static const char *const secret_names[] = {
    "authorization", "proxyauthorization",   "cookie",       "setcookie",   "password",
    "passwd",        "passphrase",           "token",        "accesstoken", "refreshtoken",
    "idtoken",       "bearertoken",          "clientsecret", "secretkey",   "apikey",
    "xapikey",       "privatekey",           "tlskey",       "hmacsecret",  "sessionticketkeys",
    "ticketkeys",    "xforwardedaccesstoken"};

static bool is_secret_name(struct str name)
{
    char plain[NAME_BYTES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '-' || name.p[i] == '_')
            continue;
        if (n == sizeof(plain))
            return false;
        plain[n++] = (char)tolower((unsigned char)name.p[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(secret_names); i++)
        if (str_is(str_of(plain, n), secret_names[i]))
            return true;
    return false;
}

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* Of base64, base64url, token68. */
static bool is_token_byte(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("-._~+/=", c));
}

static size_t span(struct str s, size_t from, bool (*is)(char c))
{
    size_t n = 0;
    while (from + n < s.n && is(s.p[from + n]))
        n++;
    return n;
}

static bool starts_nocase(struct str s, size_t at, const char *word)
{
    size_t n = strlen(word);
    return s.n - at >= n && str_eq_nocase(str_of(s.p + at, n), str_from(word));
}

/* ---- matchers: how many bytes from here are kept, and how many after them are secret ---- */

struct match {
    size_t keep, secret;
};

static bool match_private_key(struct str s, size_t at, struct match *ret)
{
    static const char begin[] = "-----BEGIN ", key[] = "PRIVATE KEY-----", end[] = "-----END ";
    if (!str_starts(str_sub(s, at, s.n), str_from(begin)))
        return false;
    size_t label = at + strlen(begin);
    struct str rest = str_first(str_sub(s, label, s.n), 64);
    const char *found = rest.n ? memmem(rest.p, rest.n, key, strlen(key)) : NULL;
    if (!found)
        return false;
    size_t body = (size_t)(found - s.p) + strlen(key);
    const char *last = memmem(s.p + body, s.n - body, end, strlen(end));
    *ret = (struct match){body - at, last ? (size_t)(last - s.p) - body : s.n - body};
    return true;
}

static bool match_scheme(struct str s, size_t at, struct match *ret)
{
    static const char *const schemes[] = {"Bearer ", "Basic ", "Digest "};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        size_t n = strlen(schemes[i]);
        if (!starts_nocase(s, at, schemes[i]))
            continue;
        size_t token = span(s, at + n, is_token_byte);
        if (token < TOKEN_BYTES_MIN)
            continue;
        *ret = (struct match){n, token};
        return true;
    }
    return false;
}

static bool is_web_token_byte(char c)
{
    return is_name_byte(c) || c == '.';
}

/* Only where one may begin, so that a long text is gone through once. */
static bool match_web_token(struct str s, size_t at, struct match *ret)
{
    if (s.n - at < 20 || memcmp(s.p + at, "eyJ", 3) != 0 ||
        (at > 0 && is_web_token_byte(s.p[at - 1])))
        return false;
    size_t n = span(s, at, is_web_token_byte), dots = 0;
    for (size_t i = 0; i < n; i++)
        dots += s.p[at + i] == '.';
    *ret = (struct match){0, n};
    return n >= 20 && dots >= 2;
}

static bool is_hash_byte(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("./$=,+", c));
}

static bool match_hash(struct str s, size_t at, struct match *ret)
{
    static const char *const kinds[] = {"$2a$", "$2b$", "$2y$",   "$1$",   "$5$",   "$6$",
                                        "$y$",  "$7$",  "$apr1$", "{SHA}", "{SSHA}"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t kind = strlen(kinds[i]);
        if (s.n - at < kind || memcmp(s.p + at, kinds[i], kind) != 0)
            continue;
        size_t n = span(s, at + kind, is_hash_byte);
        if (n < TOKEN_BYTES_MIN)
            continue;
        *ret = (struct match){kind, n};
        return true;
    }
    return false;
}

static bool is_userinfo_byte(char c)
{
    return (unsigned char)c > ' ' && !strchr("/?#@\"'<>\\", c);
}

static bool match_userinfo(struct str s, size_t at, struct match *ret)
{
    if (s.n - at < 4 || memcmp(s.p + at, "://", 3) != 0)
        return false;
    size_t n = span(s, at + 3, is_userinfo_byte);
    if (n == 0 || at + 3 + n >= s.n || s.p[at + 3 + n] != '@' || !memchr(s.p + at + 3, ':', n))
        return false;
    *ret = (struct match){3, n};
    return true;
}

static bool is_value_byte(char c)
{
    return (unsigned char)c > ' ' && !strchr("\"',;&}\\", c);
}

static bool is_line_byte(char c)
{
    return c != '\n' && c != '\r' && c != '"' && c != '\\';
}

/* "password: x", "\"token\":\"x\"", "Authorization=x": the value; of a header field, whose value
 * has spaces, to the end of the line or of the quotation. */
static bool match_named(struct str s, size_t at, struct match *ret)
{
    if ((at > 0 && is_name_byte(s.p[at - 1])) || !isalpha((unsigned char)s.p[at]))
        return false;
    size_t name = span(s, at, is_name_byte), i = at + name;
    if (name > NAME_BYTES_MAX || !is_secret_name(str_of(s.p + at, name)))
        return false;
    while (i < s.n && strchr("\"'\\", s.p[i]) && s.p[i])
        i++;
    while (i < s.n && s.p[i] == ' ')
        i++;
    if (i == s.n || (s.p[i] != ':' && s.p[i] != '='))
        return false;
    bool field = s.p[i] == ':';
    i++;
    while (i < s.n && s.p[i] && strchr(" \"'\\", s.p[i]))
        i++;
    struct str value = str_sub(s, i, s.n);
    if (str_starts(value, STR(REDACTED)))
        return false;
    size_t n = span(s, i, field ? is_line_byte : is_value_byte);
    *ret = (struct match){i - at, n};
    return n > 0;
}

size_t redact_text(struct str text, struct buf *ret)
{
    static bool (*const matchers[])(struct str, size_t, struct match *) = {
        match_private_key, match_scheme, match_web_token, match_hash, match_userinfo, match_named};
    size_t count = 0, kept = 0;
    for (size_t at = 0; at < text.n;) {
        struct match m = {0, 0};
        bool found = false;
        for (size_t i = 0; i < ARRAY_LEN(matchers) && !found; i++)
            found = matchers[i](text, at, &m) && m.secret > 0;
        if (!found || str_starts(str_sub(text, at + m.keep, text.n), STR(REDACTED))) {
            at++;
            continue;
        }
        buf_add_str(ret, str_sub(text, kept, at + m.keep));
        buf_add_cstr(ret, REDACTED);
        count++;
        at += m.keep + m.secret;
        kept = at;
    }
    buf_add_str(ret, str_sub(text, kept, text.n));
    return count;
}

/* ---- JSON ---- */

/* 1 if there was something to take out. */
static size_t set_redacted(json_t *o, const char *key)
{
    const json_t *before = json_object_get(o, key);
    if (!before || json_is_null(before) || json_is_boolean(before) ||
        streq(json_string_value(before), REDACTED))
        return 0;
    json_object_set_new(o, key, json_string(REDACTED));
    return 1;
}

/* A header field or a variable as an object: {"key": "authorization", "value": "…"}. */
static size_t redact_pair(json_t *o)
{
    static const char *const names[] = {"key", "name", "header_name", "headerName"};
    static const char *const values[] = {"value", "raw_value", "rawValue", "exact", "stringMatch"};
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *name = json_key_str(o, names[i]);
        if (!name || !is_secret_name(str_from(name)))
            continue;
        for (size_t k = 0; k < ARRAY_LEN(values); k++)
            count += set_redacted(o, values[k]);
    }
    return count;
}

static size_t redact_secret(json_t *o)
{
    static const char *const data[] = {"data", "stringData"};
    size_t count = 0;
    const char *kind = json_key_str(o, "kind");
    for (size_t i = 0; kind && streq(kind, "Secret") && i < ARRAY_LEN(data); i++)
        count += set_redacted(o, data[i]);
    return count;
}

size_t redact_json(json_t *j)
{
    size_t count = 0, i;
    const char *key;
    json_t *member;
    void *next;
    if (json_is_array(j))
        json_array_foreach(j, i, member) count += redact_json(member);
    if (!json_is_object(j))
        return count;
    count += redact_pair(j) + redact_secret(j);
    json_object_foreach_safe(j, next, key, member)
    {
        count += is_secret_name(str_from(key)) ? set_redacted(j, key) : redact_json(member);
    }
    return count;
}
