/* What has no effect because it is always so is taken; what would be missed is refused. */
#include "model/inject_config.h"

#include <errno.h>

#include "codec/yaml.h"
#include "model/object_reader.h"

static bool read_metadata(struct object_reader *r, const json_t *j, struct inject_config *ret)
{
    const char *name;
    json_t *value;
    bool ok = true;
    size_t mark = reader_enter(r, "proxyMetadata");
    json_object_foreach((json_t *)(uintptr_t)j, name, value)
    {
        const char *text = json_string_value(value);
        if (!streq(name, "ISTIO_META_DNS_CAPTURE") && !streq(name, "ISTIO_META_DNS_AUTO_ALLOCATE"))
            ok = reader_error(r, name, "leave it out", "has no meaning for this proxy");
        else if (!text || (!streq(text, "true") && !streq(text, "false")))
            ok = reader_error(r, name, NULL, "is \"true\" or \"false\", with quotes");
        else if (streq(name, "ISTIO_META_DNS_CAPTURE"))
            ret->dns_capture = streq(text, "true");
    }
    reader_leave(r, mark);
    return ok;
}

/* Names that whoever reads them would take for something else. */
static bool is_variable(const char *name)
{
    if ((*name >= '0' && *name <= '9') || !*name || str_starts(str_from(name), STR("LD_")))
        return false;
    for (; *name; name++)
        if (!(*name == '_' || (*name >= '0' && *name <= '9') || (*name >= 'A' && *name <= 'Z') ||
              (*name >= 'a' && *name <= 'z')))
            return false;
    return true;
}

static void lay_variables(struct object_reader *r, const json_t *j, struct inject_config *ret)
{
    const char *name;
    json_t *value;
    size_t mark = reader_enter(r, "environmentVariables");
    json_object_foreach((json_t *)(uintptr_t)j, name, value)
    {
        const char *text = json_string_value(value);
        if (!is_variable(name) || !text) {
            reader_error(r, name, NULL, "is no variable that a proxy may be given");
        } else if (streq(name, "ISTIO_META_DNS_CAPTURE")) {
            ret->dns_capture = streq(text, "true");
        } else {
            ret->env = ret->env ? ret->env : json_object();
            json_object_set_new(ret->env, name, json_string(text));
        }
    }
    reader_leave(r, mark);
}

void inject_config_lay(const json_t *spec, struct object_reader *r, struct inject_config *ret)
{
    int64_t workers = ret->workers;
    if (reader_number(r, spec, "concurrency", 1, INJECT_WORKERS_MAX, &workers))
        ret->workers = (uint32_t)workers;
    lay_variables(r, json_object_get(spec, "environmentVariables"), ret);
}

void inject_config_done(struct inject_config *c)
{
    json_decref(c->env);
    c->env = NULL;
}

static bool read_one(struct object_reader *r, const json_t *all, const char *name,
                     struct inject_config *ret)
{
    int64_t workers = 0;
    uint64_t drain_ms = 0;
    if (streq(name, "proxyMetadata"))
        return read_metadata(r, json_object_get(all, name), ret);
    if (streq(name, "concurrency")) {
        bool ok = reader_number(r, all, name, 1, INJECT_WORKERS_MAX, &workers);
        ret->workers = (uint32_t)workers;
        return ok;
    }
    if (streq(name, "terminationDrainDuration")) {
        if (!reader_duration_ms(r, all, name, 1000, &drain_ms))
            return false;
        if (drain_ms > INJECT_DRAIN_MAX_S * 1000ull)
            return reader_error(r, name, NULL, "is longer than an hour");
        ret->drain_s = (uint32_t)(drain_ms / 1000);
        return true;
    }
    if (streq(name, "holdApplicationUntilProxyStarts")) /* it always does */
        return json_is_boolean(json_object_get(all, name)) ||
               reader_error(r, name, NULL, "is true or false");
    return reader_error(r, name, "leave it out",
                        "is not done: proxyMetadata, concurrency, terminationDrainDuration are");
}

int inject_config_read(const char *text, struct inject_config *ret, struct err *reterr)
{
    AUTO_JSON json_t *j = NULL;
    AUTO_DONE(findings) struct findings told = {0};
    AUTO_DONE(object_reader) struct object_reader r = {.findings = &told, .object = ""};
    struct inject_config now = *ret;
    const char *name;
    json_t *value;
    int code = yaml_parse(str_from(text), &j, reterr);
    if (code < 0)
        return code;
    if (j && !json_is_object(j))
        return err_set(reterr, -EINVAL, NULL, "is no object");
    json_object_foreach(j, name, value)
    {
        if (!read_one(&r, j, name, &now))
            return err_set(reterr, -EINVAL, NULL, "%s: %s", told.v[0].field, told.v[0].message);
    }
    *ret = now;
    return 0;
}
