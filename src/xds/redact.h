#pragma once
/* What is secret in a configuration that is shown, as JSON in Envoy's snake_case. */

#include "codec/json.h"

/* Keys, passwords, tokens and who may log in become "[redacted]"; names of files and variables
 * stay. */
void json_redact(json_t *j);
