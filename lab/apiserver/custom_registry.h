#pragma once
/* Which custom kinds there are: keeps the rows of api_kind.h as the stored
 * CustomResourceDefinitions say, and empties what is deleted. */

#include "lab/apiserver/api_priv.h"
#include "lab/apiserver/custom_kind.h"

#define CRD_GROUP     "apiextensions.k8s.io"
#define CRD_PLURAL    "customresourcedefinitions"
#define CRD_FINALIZER "customresourcecleanup.apiextensions.k8s.io"

/* Rows of what was stored before this start. */
int custom_registry_start(struct api_server *s, struct err *reterr) NODISCARD;
void custom_registry_stop(struct api_server *s);
void custom_registry_event(struct api_server *s, const struct store_event *e);
uint32_t custom_registry_kind(void); /* the row of CustomResourceDefinitions */

/* False: answered: its definition is on its way out. */
bool custom_may_create(struct api_request *r);
/* The OpenAPI document's part of a custom kind: its schema as the definition has it; NULL: there is
 * none. A new reference. */
json_t *custom_openapi_schema(struct api_server *s, const struct api_kind *k);

/* custom_garbage.c */
void custom_garbage_start(struct api_server *s);
void custom_garbage_stop(struct api_server *s);
void custom_garbage_event(struct api_server *s, const struct store_event *e);

/* crd_status.c: names, conversion, status and conditions of a definition, as its controllers would
 * fill them in. */
void default_crd(json_t *object);
json_t *crd_condition(const json_t *crd, const char *type); /* borrowed; NULL: none */
void crd_set_condition(json_t *crd, const char *type, bool holds, const char *reason,
                       const char *message);
/* Its deletion begins: the finalizer and the condition. */
void crd_terminate(json_t *object);
bool crd_is_established(const json_t *crd);

/* crd_names.c: its names are accepted, and it is established, unless another has them. */
void crd_accept_names(json_t *crd);

/* crd_words.c: words of schemas that mean nothing go. */
void decode_crd(json_t *object, struct schema_findings *f);
void warn_of_formats(const json_t *object, void (*fn)(void *user, const char *text), void *user);

/* crd_check.c */
void validate_crd(const json_t *object, const json_t *old, struct field_errors *e);
/* What is allowed and yet does less than it says; fn is called with each. */
void warn_of_crd(const json_t *object, void (*fn)(void *user, const char *text), void *user);
