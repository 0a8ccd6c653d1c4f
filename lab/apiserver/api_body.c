/* What a client sent, read: an object of a kind, a message that is no kind, a patch.
 *
 * Owns the way from bytes (JSON, YAML, protobuf) to a tree whose types are right, and what patches
 * make of a tree. Unknown and duplicate fields are told or refused as the client asked. Every error
 * is answered here; nothing is stored, admitted or defaulted. */
#include <errno.h>

#include "codec/url.h"
#include "codec/yaml.h"
#include "kube/patch.h"
#include "kube/pbobject.h"
#include "lab/apiserver/api_priv.h"

static enum api_strictness strictness_of(struct api_request *r)
{
    AUTO_CHARS char *v = url_param(r->query, "fieldValidation");
    return streq(v, "Strict") ? API_STRICT : streq(v, "Ignore") ? API_IGNORE : API_WARN;
}

/* Reports unknown and duplicate fields as the client asked: false = answered with an error. */
static bool tell_unknown(struct api_request *r, struct str lines)
{
    enum api_strictness strict = strictness_of(r);
    AUTO_DONE(buf) struct buf all = {0};
    struct str rest = lines;
    while (rest.p && rest.n) {
        struct str line = str_cut(rest, '\n', &rest);
        if (!line.n)
            continue;
        AUTO_CHARS char *text = str_dup(line);
        if (strict == API_WARN)
            api_warn(r, text);
        buf_addf(&all, "%s%s", all.n ? ", " : "", text);
    }
    if (strict != API_STRICT || !all.n)
        return true;
    if (str_is(http_exchange_method(r->exchange), "PATCH")) {
        struct api_causes causes = {0};
        AUTO_CHARS char *name = xstrdup(r->name);
        api_cause_add(&causes, "FieldValueInvalid", "patch",
                      "Invalid value: strict decoding error: %s", buf_cstr(&all));
        api_invalid(r, name, &causes);
        api_causes_done(&causes);
    } else {
        api_status(r, 400, "BadRequest", NULL,
                   "%s in version \"%s\" cannot be handled as a %s: strict decoding error: %s",
                   r->kind->kind, r->kind->version, r->kind->kind, buf_cstr(&all));
    }
    return false;
}

enum body_form { BODY_JSON, BODY_YAML, BODY_PROTOBUF };

/* False: answered. No content type is taken as JSON, as real servers do. */
static bool body_form(struct api_request *r, bool binary, enum body_form *ret)
{
    struct str header = http_exchange_header(r->exchange, "content-type"), rest;
    struct str type = str_trim(str_cut(header.p ? header : (struct str){"", 0}, ';', &rest));
    if (!type.n || str_eq_nocase(type, STR("application/json")))
        *ret = BODY_JSON;
    else if (str_eq_nocase(type, STR("application/yaml")))
        *ret = BODY_YAML;
    else if (binary && str_eq_nocase(type, STR("application/vnd.kubernetes.protobuf")))
        *ret = BODY_PROTOBUF;
    else {
        api_status(r, 415, "UnsupportedMediaType", NULL,
                   "the body of the request was in an unknown format - accepted media types "
                   "include: application/json, "
                   "application/yaml%s",
                   binary ? ", application/vnd.kubernetes.protobuf" : "");
        return false;
    }
    return true;
}

static int parse_body(struct api_request *r, const struct schema *schema, json_t **ret,
                      char *duplicate, struct err *err)
{
    struct str body = http_exchange_body(r->exchange), raw;
    char api_version[256], kind[256];
    enum body_form form;
    if (!body_form(r, schema != NULL, &form))
        return -ECANCELED;
    if (form == BODY_YAML)
        return yaml_parse(body, ret, err);
    if (form == BODY_JSON)
        return json_parse(body, API_BODY_BYTES_MAX, duplicate, ret, err);
    int code = pb_object_open(body, api_version, kind, &raw, err);
    if (code == 0)
        code = pb_object_decode(schema, raw, ret, err);
    if (code == 0 && *kind)
        json_put_str(*ret, "kind", kind);
    if (code == 0 && *api_version)
        json_put_str(*ret, "apiVersion", api_version);
    return code;
}

/* The tree of the body; answers the error itself. */
static int read_tree(struct api_request *r, const struct schema *schema, char duplicate[128],
                     json_t **ret)
{
    AUTO_JSON json_t *object = NULL;
    struct err err = {0};
    int code = parse_body(r, schema, &object, duplicate, &err);
    if (code == -ECANCELED)
        return code;
    if (code < 0) {
        api_status(r, 400, "BadRequest", NULL, "the object provided is unrecognized: %s",
                   err_text(&err));
        return code;
    }
    if (!json_values_within(object, API_VALUES_MAX)) {
        api_status(r, 400, "BadRequest", NULL,
                   "the object provided is unrecognized: it has more than %d values",
                   API_VALUES_MAX);
        return -EINVAL;
    }
    if (!json_is_object(object)) {
        api_status(
            r, 400, "BadRequest", NULL,
            "the object provided is unrecognized: it must be an object with apiVersion and kind");
        return -EINVAL;
    }
    *ret = TAKE(object);
    return 0;
}

int api_read_message(struct api_request *r, const struct schema *schema, json_t **ret)
{
    AUTO_JSON json_t *object = NULL;
    char duplicate[128] = "";
    struct err err = {0};
    if (!http_exchange_body(r->exchange).n) {
        *ret = json_object();
        return 0;
    }
    int code = read_tree(r, schema, duplicate, &object);
    if (code < 0)
        return code;
    code = schema_decode(schema, object, NULL, &err);
    if (code < 0) {
        api_status(r, 400, "BadRequest", NULL, "%s", err_text(&err));
        return code;
    }
    *ret = TAKE(object);
    return 0;
}

/* A body without apiVersion or kind is refused, as is another kind than the address says. */
static bool check_type(struct api_request *r, const struct api_kind *kind, const json_t *object)
{
    const char *sent_kind = json_key_str(object, "kind"),
               *sent_version = json_key_str(object, "apiVersion");
    if (str_empty(sent_kind) && str_empty(sent_version))
        return true; /* typed clients leave both out; the address says what is meant */
    if (str_empty(sent_kind) || str_empty(sent_version)) {
        api_status(r, 400, "BadRequest", NULL, "Object '%s' is missing",
                   str_empty(sent_kind) ? "Kind" : "apiVersion");
        return false;
    }
    if (!streq(sent_kind, kind->kind) && kind->custom) {
        struct api_causes causes = {0};
        AUTO_CHARS char *own = xstrdup(sent_kind);
        AUTO_CHARS char *name = xstrdup(json_at_str(object, "metadata.name"));
        api_cause_add(&causes, "FieldValueInvalid", "kind", "Invalid value: \"%.100s\": must be %s",
                      own, kind->kind);
        api_invalid_as(r, kind->group, own, name, &causes);
        api_causes_done(&causes);
        return false;
    }
    if (!streq(sent_kind, kind->kind)) {
        api_status(r, 400, "BadRequest", NULL,
                   "%s in version \"%s\" cannot be handled as a %s: the kind does not match the "
                   "address it was sent to",
                   sent_kind, sent_version, kind->kind);
        return false;
    }
    if (!streq(sent_version, api_kind_group_version(kind))) {
        api_status(r, 400, "BadRequest", NULL,
                   "the API version in the data (%s) does not match the expected API version (%s)",
                   sent_version, api_kind_group_version(kind));
        return false;
    }
    return true;
}

int api_settle_body(struct api_request *r, const struct api_kind *kind, json_t *object,
                    const char *duplicate)
{
    AUTO_DONE(buf) struct buf unknown = {0};
    struct err err = {0};
    if (!check_type(r, kind, object))
        return -EINVAL;
    if (*duplicate)
        buf_addf(&unknown, "duplicate field \"%s\"\n", duplicate);
    int code = api_kind_decode(kind, object, &unknown, &err);
    if (code < 0) {
        api_status(r, 400, "BadRequest", NULL, "%s in version \"%s\" cannot be handled as a %s: %s",
                   kind->kind, kind->version, kind->kind, err_text(&err));
        return code;
    }
    if (!tell_unknown(r, buf_str(&unknown)))
        return -EINVAL;
    api_kind_to_stored(kind, object);
    return 0;
}

int api_read_body(struct api_request *r, const struct api_kind *kind, json_t **ret)
{
    AUTO_JSON json_t *object = NULL;
    char duplicate[128] = "";
    int code = read_tree(r, kind->schema, duplicate, &object);
    if (code < 0)
        return code;
    code = api_settle_body(r, kind, object, duplicate);
    if (code < 0)
        return code;
    *ret = TAKE(object);
    return 0;
}

/* ---- patches ---- */

static int apply_patch(const struct schema *schema, struct str type, json_t **object,
                       const json_t *patch, struct err *err)
{
    if (str_starts(type, STR("application/json-patch+json")))
        return api_patch_json(object, patch, err);
    if (!json_is_object(patch))
        return err_set(err, -EINVAL, NULL, "the patch must be an object");
    if (str_starts(type, STR("application/strategic-merge-patch+json")))
        return patch_apply_strategic(schema, *object, patch, err);
    api_patch_merge(*object, patch);
    return 0;
}

/* False: answered. */
static bool patch_type_known(struct api_request *r, struct str type)
{
    static const char *const known[] = {"application/json-patch+json",
                                        "application/merge-patch+json",
                                        "application/strategic-merge-patch+json"};
    enum { STRATEGIC = 2 }; /* needs the merge keys of built-in kinds */
    bool custom = r->kind->custom != NULL;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_starts(type, str_from(known[i])) && !(custom && i == STRATEGIC))
            return true;
    api_status(r, 415, "UnsupportedMediaType", NULL,
               "the body of the request was in an unknown format - accepted media types include: "
               "application/json-patch+json, application/merge-patch+json, %s",
               custom ? "application/apply-patch+yaml"
                      : "application/strategic-merge-patch+json, application/apply-patch+yaml");
    return false;
}

/* operations: a JSON patch that is one, but cannot be done. */
static void patch_failed(struct api_request *r, bool operations, const struct err *err)
{
    AUTO_CHARS char *name = xstrdup(r->name);
    AUTO_JSON json_t *details = api_details(r, name);
    if (operations)
        api_status(r, 422, "Invalid", NULL,
                   "the server rejected our request due to an error in our request: %s",
                   err_text(err));
    else
        api_status(r, 400, "BadRequest", details, "error decoding patch: %s", err_text(err));
}

int api_read_patch(struct api_request *r, char duplicate[128], json_t **ret)
{
    AUTO_JSON json_t *patch = NULL;
    struct err err = {0};
    if (!patch_type_known(r, http_exchange_header(r->exchange, "content-type")))
        return -EINVAL;
    if (json_parse(http_exchange_body(r->exchange), API_BODY_BYTES_MAX, duplicate, &patch, &err) <
        0) {
        api_status(r, 400, "BadRequest", NULL, "error decoding patch: %s", err_text(&err));
        return -EINVAL;
    }
    if (!json_values_within(patch, API_VALUES_MAX)) {
        api_status(r, 400, "BadRequest", NULL, "error decoding patch: it has more than %d values",
                   API_VALUES_MAX);
        return -EINVAL;
    }
    *ret = TAKE(patch);
    return 0;
}

int api_apply_patch(struct api_request *r, const struct schema *schema, const json_t *patch,
                    json_t **object)
{
    struct str type = http_exchange_header(r->exchange, "content-type");
    struct err err = {0};
    if (!json_is_array(patch) && !json_at(patch, "metadata.resourceVersion"))
        json_del(*object, "metadata.resourceVersion");
    int code = apply_patch(schema, type, object, patch, &err);
    if (code == 0 && !json_is_object(*object))
        code = err_set(&err, -EINVAL, NULL, "the patched object is not an object");
    if (code < 0)
        patch_failed(
            r, json_is_array(patch) && str_starts(type, STR("application/json-patch+json")), &err);
    return code;
}
