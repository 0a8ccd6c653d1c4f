#pragma once
/* Kubernetes' protobuf bodies, decoded into JSON by the message tables. Never encoded. */

#include "kube/schema.h"

#define PB_OBJECT_CONTENT_TYPE "application/vnd.kubernetes.protobuf"

/* Opens the envelope (magic "k8s\0" and runtime.Unknown): apiVersion and kind into ret_api_version
 * and ret_kind (256 bytes each), the message itself as a slice in *ret_raw. -EBADMSG. */
int pb_object_open(struct str body, char ret_api_version[256], char ret_kind[256],
                   struct str *ret_raw, struct err *reterr) NODISCARD;

/* Decodes a message. Unknown field numbers are skipped, as Go does; empty strings stay
 * (schema_decode drops them). */
int pb_object_decode(const struct schema *s, struct str raw, json_t **ret, struct err *reterr)
    NODISCARD;
