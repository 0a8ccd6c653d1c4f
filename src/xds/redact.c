/* Walks the whole tree: a secret may stand in any message, also in one that nobody here knows. */
#include "xds/redact.h"

static const char hidden[] = "[redacted]";
static const char hidden_base64[] = "W3JlZGFjdGVkXQ==";

/* Members whose contents are a secret, wherever they stand (Envoy marks the same ones). */
static bool is_secret(const char *name)
{
    static const char *const names[] = {
        "private_key",         "password",    "pkcs12",
        "generic_secret",      "secret",      "secrets",
        "session_ticket_keys", "keys",        "users",
        "token_secret",        "hmac_secret", "private_key_provider",
        "access_token",        "api_key",     "client_secret",
        "inline_key"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (streq(name, names[i]))
            return true;
    return false;
}

/* Fields of HTTP whose values are. */
static bool is_secret_field(const char *name)
{
    static const char *const names[] = {"authorization", "proxy-authorization", "cookie",
                                        "x-api-key"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (str_eq_nocase(str_from(name), str_from(names[i])))
            return true;
    return false;
}

/* All values below, but where a secret is to be found. */
static void hide(json_t *j)
{
    const char *name;
    json_t *value;
    void *next;
    size_t i;
    if (json_is_array(j))
        json_array_foreach(j, i, value)
        {
            if (json_is_string(value))
                json_array_set_new(j, i, json_string(hidden));
            else
                hide(value);
        }
    if (!json_is_object(j))
        return;
    json_object_foreach_safe(j, next, name, value)
    {
        bool found = streq(name, "filename") || streq(name, "environment_variable") ||
                     streq(name, "@type") || streq(name, "name") || streq(name, "sds_config") ||
                     streq(name, "provider_name");
        if (found)
            continue;
        if (json_is_string(value))
            json_object_set_new(j, name,
                                json_string(streq(name, "inline_bytes") ? hidden_base64 : hidden));
        else
            hide(value);
    }
}

void json_redact(json_t *j)
{
    const char *name;
    json_t *value;
    void *next;
    size_t i;
    if (json_is_array(j))
        json_array_foreach(j, i, value) json_redact(value);
    if (!json_is_object(j))
        return;
    const char *field = json_key_str(j, "key");
    if (field && is_secret_field(field) && json_is_string(json_object_get(j, "value")))
        json_object_set_new(j, "value", json_string(hidden));
    if (field && is_secret_field(field) && json_object_get(j, "raw_value"))
        json_object_set_new(j, "raw_value", json_string(hidden_base64));
    json_object_foreach_safe(j, next, name, value)
    {
        if (!is_secret(name))
            json_redact(value);
        else if (json_is_string(value))
            json_object_set_new(j, name, json_string(hidden));
        else
            hide(value);
    }
}
