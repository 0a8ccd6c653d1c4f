package main

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	// What may be packed: a type that is not here is told as unknown.
	_ "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/basic_auth/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/custom_response/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/http/custom_response/redirect_policy/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/cookie/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

type validatable interface{ ValidateAll() error }

// checker counts what it looks at.
type checker struct {
	messages map[string]int
	wrong    []string
}

func (c *checker) complain(where, format string, args ...any) {
	c.wrong = append(c.wrong, where+": "+fmt.Sprintf(format, args...))
}

// any reads what is packed, and all that is packed in it; nil: it cannot be read.
func (c *checker) any(where string, a *anypb.Any) proto.Message {
	m, err := a.UnmarshalNew()
	if err != nil {
		c.complain(where, "%s: %v", a.TypeUrl, err)
		return nil
	}
	c.messages[string(m.ProtoReflect().Descriptor().FullName())]++
	if v, ok := m.(validatable); !ok {
		c.complain(where, "%s has no ValidateAll", a.TypeUrl)
	} else if err := v.ValidateAll(); err != nil {
		c.complain(where, "%v", err)
	}
	c.fields(where, m.ProtoReflect())
	return m
}

func (c *checker) fields(where string, m protoreflect.Message) {
	name := m.Descriptor().FullName()
	if n := len(m.GetUnknown()); n > 0 {
		c.complain(where, "%s: %d bytes of fields that are not known", name, n)
	}
	if packed, ok := m.Interface().(*anypb.Any); ok {
		c.any(where+" / "+packed.TypeUrl, packed)
		return
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					c.fields(where, v.Message())
					return true
				})
			}
		case f.Message() == nil:
		case f.IsList():
			for i := 0; i < v.List().Len(); i++ {
				c.fields(where, v.List().Get(i).Message())
			}
		default:
			c.fields(where, v.Message())
		}
		return true
	})
}
