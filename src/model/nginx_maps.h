#pragma once
/* ConfigMaps of ingress-nginx, read as the control plane reads those that its flags name, for what
 * there is to tell of them. */

#include "codec/json.h"
#include "model/finding.h"

enum nginx_map { NGINX_MAP_SETTINGS, NGINX_MAP_TCP, NGINX_MAP_UDP };

/* key: namespace/name; data: of the ConfigMap, NULL: none. Findings have data[KEY] as their field.
 */
void nginx_map_check(enum nginx_map what, const char *key, const json_t *data, struct findings *f);
