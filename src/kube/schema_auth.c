/* Tables of the API's messages: authentication and authorization reviews.
 *
 * A row: name in JSON, type, protobuf number, then shape, merge keys, defaults and limits. Names,
 * numbers and merge keys are those of the public Kubernetes API (v1.33). Data only: nothing here is
 * executed, everything is constant and lives as long as the program. See schema.h for the columns
 * and kinds.h for the list of kinds. */
#include "kube/schema_tables.h"

static const struct schema_field field_selector_attributes_fields[] = {
    FIELD("rawSelector", STRING, 1, OMIT),
    FIELD("requirements", OBJECT, 2, LIST, OF(field_selector_requirement), OMIT, .atomic = true),
};
SCHEMA(field_selector_attributes, "FieldSelectorAttributes");

static const struct schema_field label_selector_attributes_fields[] = {
    FIELD("rawSelector", STRING, 1, OMIT),
    FIELD("requirements", OBJECT, 2, LIST, OF(label_selector_requirement), OMIT, .atomic = true),
};
SCHEMA(label_selector_attributes, "LabelSelectorAttributes");

static const struct schema_field resource_attributes_fields[] = {
    FIELD("namespace", STRING, 1, OMIT),
    FIELD("verb", STRING, 2, OMIT),
    FIELD("group", STRING, 3, OMIT),
    FIELD("version", STRING, 4, OMIT),
    FIELD("resource", STRING, 5, OMIT),
    FIELD("subresource", STRING, 6, OMIT),
    FIELD("name", STRING, 7, OMIT),
    FIELD("fieldSelector", OBJECT, 8, OF(field_selector_attributes), OMIT, POINTER),
    FIELD("labelSelector", OBJECT, 9, OF(label_selector_attributes), OMIT, POINTER),
};
SCHEMA(resource_attributes, "ResourceAttributes");

static const struct schema_field non_resource_attributes_fields[] = {
    FIELD("path", STRING, 1, OMIT),
    FIELD("verb", STRING, 2, OMIT),
};
SCHEMA(non_resource_attributes, "NonResourceAttributes");

static const struct schema_field self_subject_access_review_spec_fields[] = {
    FIELD("resourceAttributes", OBJECT, 1, OF(resource_attributes), OMIT, POINTER),
    FIELD("nonResourceAttributes", OBJECT, 2, OF(non_resource_attributes), OMIT, POINTER),
};
SCHEMA(self_subject_access_review_spec, "SelfSubjectAccessReviewSpec");

static const struct schema_field subject_access_review_status_fields[] = {
    FIELD("allowed", BOOL, 1),
    FIELD("denied", BOOL, 4, OMIT),
    FIELD("reason", STRING, 2, OMIT),
    FIELD("evaluationError", STRING, 3, OMIT),
};
SCHEMA(subject_access_review_status, "SubjectAccessReviewStatus");

static const struct schema_field self_subject_access_review_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(self_subject_access_review_spec)),
    FIELD("status", OBJECT, 3, OF(subject_access_review_status), OMIT),
};
SCHEMA(self_subject_access_review, "SelfSubjectAccessReview");

static const struct schema_field self_subject_rules_review_spec_fields[] = {
    FIELD("namespace", STRING, 1, OMIT),
};
SCHEMA(self_subject_rules_review_spec, "SelfSubjectRulesReviewSpec");

static const struct schema_field resource_rule_fields[] = {
    FIELD("verbs", STRING, 1, LIST, .atomic = true),
    FIELD("apiGroups", STRING, 2, LIST, OMIT, .atomic = true),
    FIELD("resources", STRING, 3, LIST, OMIT, .atomic = true),
    FIELD("resourceNames", STRING, 4, LIST, OMIT, .atomic = true),
};
SCHEMA(resource_rule, "ResourceRule");

static const struct schema_field non_resource_rule_fields[] = {
    FIELD("verbs", STRING, 1, LIST, .atomic = true),
    FIELD("nonResourceURLs", STRING, 2, LIST, OMIT, .atomic = true),
};
SCHEMA(non_resource_rule, "NonResourceRule");

static const struct schema_field subject_rules_review_status_fields[] = {
    FIELD("resourceRules", OBJECT, 1, LIST, OF(resource_rule), .atomic = true),
    FIELD("nonResourceRules", OBJECT, 2, LIST, OF(non_resource_rule), .atomic = true),
    FIELD("incomplete", BOOL, 3),
    FIELD("evaluationError", STRING, 4, OMIT),
};
SCHEMA(subject_rules_review_status, "SubjectRulesReviewStatus");

static const struct schema_field self_subject_rules_review_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(self_subject_rules_review_spec)),
    FIELD("status", OBJECT, 3, OF(subject_rules_review_status), OMIT),
};
SCHEMA(self_subject_rules_review, "SelfSubjectRulesReview");

static const struct schema_field subject_access_review_spec_fields[] = {
    FIELD("resourceAttributes", OBJECT, 1, OF(resource_attributes), OMIT, POINTER),
    FIELD("nonResourceAttributes", OBJECT, 2, OF(non_resource_attributes), OMIT, POINTER),
    FIELD("user", STRING, 3, OMIT),
    FIELD("groups", STRING, 4, LIST, OMIT, .atomic = true),
    FIELD("extra", STRING, 5, LIST, OMIT),
    FIELD("uid", STRING, 6, OMIT),
};
SCHEMA(subject_access_review_spec, "SubjectAccessReviewSpec");

static const struct schema_field subject_access_review_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(subject_access_review_spec)),
    FIELD("status", OBJECT, 3, OF(subject_access_review_status), OMIT),
};
SCHEMA(subject_access_review, "SubjectAccessReview");

static const struct schema_field local_subject_access_review_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(subject_access_review_spec)),
    FIELD("status", OBJECT, 3, OF(subject_access_review_status), OMIT),
};
SCHEMA(local_subject_access_review, "LocalSubjectAccessReview");

static const struct schema_field user_info_fields[] = {
    FIELD("username", STRING, 1, OMIT),
    FIELD("uid", STRING, 2, OMIT),
    FIELD("groups", STRING, 3, LIST, OMIT, .atomic = true),
    FIELD("extra", STRING, 4, LIST, OMIT),
};
SCHEMA(user_info, "UserInfo");

static const struct schema_field self_subject_review_status_fields[] = {
    FIELD("userInfo", OBJECT, 1, OF(user_info), OMIT),
};
SCHEMA(self_subject_review_status, "SelfSubjectReviewStatus");

static const struct schema_field self_subject_review_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("status", OBJECT, 2, OF(self_subject_review_status), OMIT),
};
SCHEMA(self_subject_review, "SelfSubjectReview");

static const struct schema_field token_review_spec_fields[] = {
    FIELD("token", STRING, 1, OMIT),
    FIELD("audiences", STRING, 2, LIST, OMIT, .atomic = true),
};
SCHEMA(token_review_spec, "TokenReviewSpec");

static const struct schema_field token_review_status_fields[] = {
    FIELD("authenticated", BOOL, 1, OMIT),
    FIELD("user", OBJECT, 2, OF(user_info), OMIT),
    FIELD("audiences", STRING, 4, LIST, OMIT, .atomic = true),
    FIELD("error", STRING, 3, OMIT),
};
SCHEMA(token_review_status, "TokenReviewStatus");

static const struct schema_field token_review_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(token_review_spec)),
    FIELD("status", OBJECT, 3, OF(token_review_status), OMIT),
};
SCHEMA(token_review, "TokenReview");

static const struct schema_field bound_object_reference_fields[] = {
    FIELD("kind", STRING, 1, OMIT),
    FIELD("apiVersion", STRING, 2, OMIT),
    FIELD("name", STRING, 3, OMIT),
    FIELD("uid", STRING, 4, OMIT, .go_type = "types.UID"),
};
SCHEMA(bound_object_reference, "BoundObjectReference");

static const struct schema_field token_request_spec_fields[] = {
    FIELD("audiences", STRING, 1, LIST, .atomic = true),
    FIELD("expirationSeconds", INT64, 4, POINTER, .def = "3600"),
    FIELD("boundObjectRef", OBJECT, 3, OF(bound_object_reference), POINTER),
};
SCHEMA(token_request_spec, "TokenRequestSpec");

static const struct schema_field token_request_status_fields[] = {
    FIELD("token", STRING, 1),
    FIELD("expirationTimestamp", TIME, 2),
};
SCHEMA(token_request_status, "TokenRequestStatus");

static const struct schema_field token_request_fields[] = {
    TYPE_META,
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(token_request_spec)),
    FIELD("status", OBJECT, 3, OF(token_request_status), OMIT),
};
SCHEMA(token_request, "TokenRequest");
