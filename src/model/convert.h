#pragma once
/* Ingresses to objects of other APIs: Istio's Gateway and VirtualService, the Gateway API, and what
 * `istioctl convert-ingress` of Istio 1.8 made of them. Pure; the same objects in any order give
 * the same output.
 *
 * But for the last, what is converted is the route model: what an annotation does there it does in
 * the output, and each that the output cannot say is told. What protects and cannot be said closes
 * its paths (503) in the output, too. */

#include "model/ingress_snapshot.h"

enum convert_api {
    CONVERT_ISTIO,
    CONVERT_GATEWAY_API,
    CONVERT_ISTIO_1_8,
};

struct convert_options {
    enum convert_api api;
    const char *gateway_namespace; /* where Istio's gateway runs */
    const char *gateway_class;     /* of the Gateway API */
};

/* objects: an array of Ingresses (v1) of whatever class, and of Services and IngressClasses as far
 * as they are known: they are asked for the numbers of ports and for ingress-nginx's ways. Returns
 * the objects in the order in which they are to be printed; owned. What gets lost is appended to
 * lost, with the Ingress and its field. */
json_t *convert_ingresses(const json_t *objects, const struct convert_options *o,
                          struct findings *lost);
