#include "model/nginx_maps.h"

#include "model/ingress_settings.h"
#include "model/stream_services.h"

enum { HTTP = 80, HTTPS = 443 };

void nginx_map_check(enum nginx_map what, const char *key, const json_t *data, struct findings *f)
{
    static const uint16_t taken[] = {HTTP, HTTPS};
    struct stream_services services = {0};
    switch (what) {
    case NGINX_MAP_SETTINGS:
        ingress_settings_free(ingress_settings_new(key, data, f));
        break;
    case NGINX_MAP_TCP:
        stream_services_read(key, data, taken, ARRAY_LEN(taken), &services, f);
        stream_services_done(&services);
        break;
    case NGINX_MAP_UDP:
        stream_services_refuse_udp(key, data, f);
        break;
    }
}
