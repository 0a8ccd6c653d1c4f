{{/* The root namespace of the mesh: programs know it by this name. */}}
{{- define "fairlead.namespace" -}}fairlead-system{{- end -}}

{{/* fairlead.image (list . "proxy") */}}
{{- define "fairlead.image" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.image.registry }}{{ . }}/{{ end -}}
fairlead/{{ index . 1 }}
{{- if not $root.Values.image.untagged }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}{{ end -}}
{{- end -}}

{{/* What a pod says first; fairlead.scheduling (list . values) */}}
{{- define "fairlead.scheduling" -}}
{{- $root := index . 0 -}}{{- $v := index . 1 -}}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with $v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $v.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $v.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with $v.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- end -}}

{{/* Nobody, with nothing; what it has to write to is a volume. */}}
{{- define "fairlead.nobody" -}}
{runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
{{- end -}}
{{- define "fairlead.nothing" -}}
{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end -}}

{{- define "fairlead.spread" -}}
- {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: {{ . }}}}}
{{- end -}}
