#pragma once
/* Kinds of values of annotations and ConfigMaps: closed grammars, as ingress-nginx 1.15 was seen to
 * take them (blanks at an end, "yes", units: no). Each gives NULL and fills *ret, or says why the
 * value is not taken (constant text) and leaves *ret alone. */

#include "base/str.h"

enum { INGRESS_TIMEOUT_MAX_S = 24 * 3600 };

const char *ingress_value_bool(const char *value, bool *ret);
const char *ingress_value_seconds(const char *value, uint32_t *ret); /* 1 to a day, no unit */
/* min to max. */
const char *ingress_value_number(const char *value, uint32_t min, uint32_t max, uint32_t *ret);
/* An owned copy; what was there is freed. Always NULL. */
const char *ingress_value_keep(const char *value, char **ret);
/* A path that begins with / and has neither query nor fragment; kept. */
const char *ingress_value_path(const char *value, char **ret);
/* A host name, with a port or without; kept. */
const char *ingress_value_host(const char *value, char **ret);
/* "TLSv1.2 TLSv1.3": 12 and 13. */
const char *ingress_value_tls_versions(const char *value, unsigned *ret_min, unsigned *ret_max);
/* Hosts that the gateway itself has in its table of routes, for its own ends; no Ingress may claim
 * one: it would get requests of others, or make a table with a name twice, which no proxy takes. */
#define INGRESS_RESERVED_DOMAIN "fairlead.internal"
/* In any case of letters, with a wildcard or without. */
bool ingress_value_is_reserved(struct str host);
bool ingress_value_is_token(struct str s); /* RFC 9110 section 5.6.2 */
/* A field that is not what frames or addresses a message. */
bool ingress_value_is_settable(struct str name);
bool ingress_value_is_visible(const char *value);
