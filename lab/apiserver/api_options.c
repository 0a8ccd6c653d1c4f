/* What may stand behind the question mark. Unknown options are ignored, as every API server does:
 * clients send what newer ones know. A known one is obeyed or refused, never half understood (a
 * server that ignores sendInitialEvents hangs its informers). Rules: metav1.ListOptions,
 * CreateOptions, PatchOptions, core/v1 PodLogOptions. */
#include <inttypes.h>

#include "base/time.h"
#include "codec/url.h"
#include "lab/apiserver/api_priv.h"

bool api_invalid_option(struct api_request *r, const char *options, const char *field,
                        const char *reason, const char *message)
{
    AUTO_JSON json_t *details =
        json_pack("{s:s,s:s,s:[{s:s,s:o,s:s}]}", "group", "meta.k8s.io", "kind", options, "causes",
                  "reason", reason, "message", json_text(str_from(message)), "field", field);
    api_status(r, 422, "Invalid", details, "%s.meta.k8s.io \"\" is invalid: %s: %s", options, field,
               message);
    return false;
}

static bool invalid_option(struct api_request *r, const char *field, const char *reason,
                           const char *message)
{
    return api_invalid_option(r, "ListOptions", field, reason, message);
}

static bool forbidden(struct api_request *r, const char *field, const char *why)
{
    AUTO_CHARS char *message = xasprintf("Forbidden: %s", why);
    return invalid_option(r, field, "FieldValueForbidden", message);
}

static bool match_fits(struct api_request *r, const char *match, bool watch, bool initial)
{
    AUTO_CHARS char *version = url_param(r->query, "resourceVersion");
    AUTO_CHARS char *token = url_param(r->query, "continue");
    if (watch)
        return initial || forbidden(r, "resourceVersionMatch",
                                    "resourceVersionMatch is forbidden for watch unless "
                                    "sendInitialEvents is provided");
    if (str_empty(version))
        return forbidden(r, "resourceVersionMatch",
                         "resourceVersionMatch is forbidden unless resourceVersion is provided");
    if (!str_empty(token))
        return forbidden(r, "resourceVersionMatch",
                         "resourceVersionMatch is forbidden when continue is provided");
    if (streq(match, "Exact") && streq(version, "0"))
        return forbidden(r, "resourceVersionMatch",
                         "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"");
    return true;
}

bool api_options_check(struct api_request *r, bool watch)
{
    AUTO_CHARS char *initial = url_param(r->query, "sendInitialEvents");
    AUTO_CHARS char *match = url_param(r->query, "resourceVersionMatch");
    if (initial && !watch)
        return forbidden(r, "sendInitialEvents", "sendInitialEvents is forbidden for list");
    if (initial && str_empty(match))
        return forbidden(r, "resourceVersionMatch",
                         "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (str_empty(match))
        return true;
    if (!streq(match, "NotOlderThan") && (watch || !streq(match, "Exact"))) {
        AUTO_CHARS char *message =
            xasprintf("Unsupported value: \"%.100s\": supported values: %s\"NotOlderThan\"", match,
                      watch ? "" : "\"Exact\", ");
        return invalid_option(r, "resourceVersionMatch", "FieldValueNotSupported", message);
    }
    return match_fits(r, match, watch, initial != NULL);
}

static const char *write_options(const struct api_request *r)
{
    struct str method = http_exchange_method(r->exchange);
    return str_is(method, "POST")     ? "CreateOptions"
           : str_is(method, "PUT")    ? "UpdateOptions"
           : str_is(method, "DELETE") ? "DeleteOptions"
                                      : "PatchOptions";
}

/* dryRun and fieldValidation: a word that is not understood must not turn into a real write. */
bool api_write_options_check(struct api_request *r)
{
    AUTO_CHARS char *dry = url_param(r->query, "dryRun");
    AUTO_CHARS char *fields = url_param(r->query, "fieldValidation");
    r->dry_run = streq(dry, "All");
    if (!str_empty(dry) && !r->dry_run) {
        AUTO_CHARS char *message =
            xasprintf("Unsupported value: [\"%.100s\"]: supported values: \"All\"", dry);
        return api_invalid_option(r, write_options(r), "dryRun", "FieldValueNotSupported", message);
    }
    if (!str_empty(fields) && !streq(fields, "Strict") && !streq(fields, "Warn") &&
        !streq(fields, "Ignore")) {
        AUTO_CHARS char *message =
            xasprintf("Unsupported value: \"%.100s\": supported values: \"\", \"Ignore\", "
                      "\"Strict\", \"Warn\"",
                      fields);
        return api_invalid_option(r, write_options(r), "fieldValidation", "FieldValueNotSupported",
                                  message);
    }
    return true;
}

/* ---- logs ---- */

/* False: answered. */
static bool log_number(struct api_request *r, const char *name, int64_t least)
{
    AUTO_CHARS char *text = url_param(r->query, name);
    int64_t v = least;
    if (str_empty(text))
        return true;
    if (str_to_i64(str_from(text), &v) < 0) {
        api_status(r, 400, "BadRequest", NULL, "%s: \"%.100s\" is not a number", name, text);
        return false;
    }
    if (v >= least)
        return true;
    api_status(r, 422, "Invalid", NULL,
               "PodLogOptions \"\" is invalid: %s: Invalid value: %" PRId64
               ": must be greater than or equal to %" PRId64,
               name, v, least);
    return false;
}

bool api_log_options_check(struct api_request *r)
{
    AUTO_CHARS char *stream = url_param(r->query, "stream");
    if (!str_empty(stream) && !streq(stream, "All")) {
        api_status(r, 400, "BadRequest", NULL,
                   "stream: \"%.100s\": both streams are one here: leave the option out", stream);
        return false;
    }
    AUTO_CHARS char *seconds = url_param(r->query, "sinceSeconds");
    AUTO_CHARS char *since = url_param(r->query, "sinceTime");
    int64_t at;
    if (!str_empty(seconds) && !str_empty(since)) {
        api_status(r, 422, "Invalid", NULL,
                   "PodLogOptions \"\" is invalid: sinceSeconds: Forbidden: at most one of "
                   "`sinceTime` or `sinceSeconds` may be specified");
        return false;
    }
    if (!str_empty(since) && time_parse_rfc3339(str_from(since), &at) < 0) {
        api_status(r, 400, "BadRequest", NULL, "sinceTime: \"%.100s\" is not a time", since);
        return false;
    }
    return log_number(r, "tailLines", 0) && log_number(r, "limitBytes", 1) &&
           log_number(r, "sinceSeconds", 1);
}
