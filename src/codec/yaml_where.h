#pragma once
/* The line of a place in a YAML or JSON text, looked up when there is an error to tell: no reader
 * needs to keep lines. */

#include "base/str.h"

/* The line (from 1) of the field path as pb_path writes it: listeners[0].name,
 * metadata["envoy.lb"].x. Names match in snake_case and in lowerCamelCase. Where the path leads
 * further than the text, into an alias or past a name that is not there, the nearest line around
 * it; 0: the text cannot be read. */
size_t yaml_where(struct str text, struct str path);
