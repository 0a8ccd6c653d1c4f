/* Tables of the API's messages: volumes and their sources.
 *
 * A row: name in JSON, type, protobuf number, then shape, merge keys, defaults and limits. Names,
 * numbers and merge keys are those of the public Kubernetes API (v1.33). Data only: nothing here is
 * executed, everything is constant and lives as long as the program. See schema.h for the columns
 * and kinds.h for the list of kinds. */
#include "kube/schema_tables.h"

static const struct schema_field host_path_volume_source_fields[] = {
    FIELD("path", STRING, 1, REQUIRED),
    FIELD("type", STRING, 2, OMIT, POINTER, .go_type = "v1.HostPathType", .def = "\"\""),
};
SCHEMA(host_path_volume_source, "HostPathVolumeSource");

static const struct schema_field empty_dir_volume_source_fields[] = {
    FIELD("medium", STRING, 1, OMIT, .go_type = "v1.StorageMedium"),
    FIELD("sizeLimit", QUANTITY, 2, OMIT, POINTER),
};
SCHEMA(empty_dir_volume_source, "EmptyDirVolumeSource");

static const struct schema_field gce_persistent_disk_volume_source_fields[] = {
    FIELD("pdName", STRING, 1),
    FIELD("fsType", STRING, 2, OMIT),
    FIELD("partition", INT32, 3, OMIT),
    FIELD("readOnly", BOOL, 4, OMIT),
};
SCHEMA(gce_persistent_disk_volume_source, "GCEPersistentDiskVolumeSource");

static const struct schema_field aws_elastic_block_store_volume_source_fields[] = {
    FIELD("volumeID", STRING, 1),
    FIELD("fsType", STRING, 2, OMIT),
    FIELD("partition", INT32, 3, OMIT),
    FIELD("readOnly", BOOL, 4, OMIT),
};
SCHEMA(aws_elastic_block_store_volume_source, "AWSElasticBlockStoreVolumeSource");

static const struct schema_field git_repo_volume_source_fields[] = {
    FIELD("repository", STRING, 1),
    FIELD("revision", STRING, 2, OMIT),
    FIELD("directory", STRING, 3, OMIT),
};
SCHEMA(git_repo_volume_source, "GitRepoVolumeSource");

static const struct schema_field key_to_path_fields[] = {
    FIELD("key", STRING, 1, REQUIRED),
    FIELD("path", STRING, 2, REQUIRED),
    FIELD("mode", INT32, 3, OMIT, POINTER),
};
SCHEMA(key_to_path, "KeyToPath");

static const struct schema_field secret_volume_source_fields[] = {
    FIELD("secretName", STRING, 1, OMIT),
    FIELD("items", OBJECT, 2, LIST, OF(key_to_path), OMIT, .atomic = true),
    FIELD("defaultMode", INT32, 3, OMIT, POINTER, .def = "420", BETWEEN(0, 511)),
    FIELD("optional", BOOL, 4, OMIT, POINTER),
};
SCHEMA(secret_volume_source, "SecretVolumeSource");

static const struct schema_field nfs_volume_source_fields[] = {
    FIELD("server", STRING, 1, REQUIRED),
    FIELD("path", STRING, 2, REQUIRED),
    FIELD("readOnly", BOOL, 3, OMIT),
};
SCHEMA(nfs_volume_source, "NFSVolumeSource");

static const struct schema_field iscsi_volume_source_fields[] = {
    FIELD("targetPortal", STRING, 1),
    FIELD("iqn", STRING, 2),
    FIELD("lun", INT32, 3),
    FIELD("iscsiInterface", STRING, 4, OMIT),
    FIELD("fsType", STRING, 5, OMIT),
    FIELD("readOnly", BOOL, 6, OMIT),
    FIELD("portals", STRING, 7, LIST, OMIT, .atomic = true),
    FIELD("chapAuthDiscovery", BOOL, 8, OMIT),
    FIELD("chapAuthSession", BOOL, 11, OMIT),
    FIELD("secretRef", OBJECT, 10, OF(local_object_reference), OMIT, POINTER),
    FIELD("initiatorName", STRING, 12, OMIT, POINTER),
};
SCHEMA(iscsi_volume_source, "ISCSIVolumeSource");

static const struct schema_field glusterfs_volume_source_fields[] = {
    FIELD("endpoints", STRING, 1),
    FIELD("path", STRING, 2),
    FIELD("readOnly", BOOL, 3, OMIT),
};
SCHEMA(glusterfs_volume_source, "GlusterfsVolumeSource");

static const struct schema_field persistent_volume_claim_volume_source_fields[] = {
    FIELD("claimName", STRING, 1, REQUIRED),
    FIELD("readOnly", BOOL, 2, OMIT),
};
SCHEMA(persistent_volume_claim_volume_source, "PersistentVolumeClaimVolumeSource");

static const struct schema_field rbd_volume_source_fields[] = {
    FIELD("monitors", STRING, 1, LIST, .atomic = true),
    FIELD("image", STRING, 2),
    FIELD("fsType", STRING, 3, OMIT),
    FIELD("pool", STRING, 4, OMIT),
    FIELD("user", STRING, 5, OMIT),
    FIELD("keyring", STRING, 6, OMIT),
    FIELD("secretRef", OBJECT, 7, OF(local_object_reference), OMIT, POINTER),
    FIELD("readOnly", BOOL, 8, OMIT),
};
SCHEMA(rbd_volume_source, "RBDVolumeSource");

static const struct schema_field flex_volume_source_fields[] = {
    FIELD("driver", STRING, 1),
    FIELD("fsType", STRING, 2, OMIT),
    FIELD("secretRef", OBJECT, 3, OF(local_object_reference), OMIT, POINTER),
    FIELD("readOnly", BOOL, 4, OMIT),
    FIELD("options", STRING, 5, MAP, OMIT),
};
SCHEMA(flex_volume_source, "FlexVolumeSource");

static const struct schema_field cinder_volume_source_fields[] = {
    FIELD("volumeID", STRING, 1),
    FIELD("fsType", STRING, 2, OMIT),
    FIELD("readOnly", BOOL, 3, OMIT),
    FIELD("secretRef", OBJECT, 4, OF(local_object_reference), OMIT, POINTER),
};
SCHEMA(cinder_volume_source, "CinderVolumeSource");

static const struct schema_field ceph_fs_volume_source_fields[] = {
    FIELD("monitors", STRING, 1, LIST, .atomic = true),
    FIELD("path", STRING, 2, OMIT),
    FIELD("user", STRING, 3, OMIT),
    FIELD("secretFile", STRING, 4, OMIT),
    FIELD("secretRef", OBJECT, 5, OF(local_object_reference), OMIT, POINTER),
    FIELD("readOnly", BOOL, 6, OMIT),
};
SCHEMA(ceph_fs_volume_source, "CephFSVolumeSource");

static const struct schema_field flocker_volume_source_fields[] = {
    FIELD("datasetName", STRING, 1, OMIT),
    FIELD("datasetUUID", STRING, 2, OMIT),
};
SCHEMA(flocker_volume_source, "FlockerVolumeSource");

static const struct schema_field downward_api_volume_file_fields[] = {
    FIELD("path", STRING, 1, REQUIRED),
    FIELD("fieldRef", OBJECT, 2, OF(object_field_selector), OMIT, POINTER),
    FIELD("resourceFieldRef", OBJECT, 3, OF(resource_field_selector), OMIT, POINTER),
    FIELD("mode", INT32, 4, OMIT, POINTER),
};
SCHEMA(downward_api_volume_file, "DownwardAPIVolumeFile");

static const struct schema_field downward_api_volume_source_fields[] = {
    FIELD("items", OBJECT, 1, LIST, OF(downward_api_volume_file), OMIT, .atomic = true),
    FIELD("defaultMode", INT32, 2, OMIT, POINTER, .def = "420", BETWEEN(0, 511)),
};
SCHEMA(downward_api_volume_source, "DownwardAPIVolumeSource");

static const struct schema_field fc_volume_source_fields[] = {
    FIELD("targetWWNs", STRING, 1, LIST, OMIT, .atomic = true),
    FIELD("lun", INT32, 2, OMIT, POINTER),
    FIELD("fsType", STRING, 3, OMIT),
    FIELD("readOnly", BOOL, 4, OMIT),
    FIELD("wwids", STRING, 5, LIST, OMIT, .atomic = true),
};
SCHEMA(fc_volume_source, "FCVolumeSource");

static const struct schema_field azure_file_volume_source_fields[] = {
    FIELD("secretName", STRING, 1),
    FIELD("shareName", STRING, 2),
    FIELD("readOnly", BOOL, 3, OMIT),
};
SCHEMA(azure_file_volume_source, "AzureFileVolumeSource");

static const struct schema_field config_map_volume_source_fields[] = {
    INLINED(1, local_object_reference),
    FIELD("items", OBJECT, 2, LIST, OF(key_to_path), OMIT, .atomic = true),
    FIELD("defaultMode", INT32, 3, OMIT, POINTER, .def = "420", BETWEEN(0, 511)),
    FIELD("optional", BOOL, 4, OMIT, POINTER),
};
SCHEMA(config_map_volume_source, "ConfigMapVolumeSource");

static const struct schema_field vsphere_virtual_disk_volume_source_fields[] = {
    FIELD("volumePath", STRING, 1),
    FIELD("fsType", STRING, 2, OMIT),
    FIELD("storagePolicyName", STRING, 3, OMIT),
    FIELD("storagePolicyID", STRING, 4, OMIT),
};
SCHEMA(vsphere_virtual_disk_volume_source, "VsphereVirtualDiskVolumeSource");

static const struct schema_field quobyte_volume_source_fields[] = {
    FIELD("registry", STRING, 1),     FIELD("volume", STRING, 2),
    FIELD("readOnly", BOOL, 3, OMIT), FIELD("user", STRING, 4, OMIT),
    FIELD("group", STRING, 5, OMIT),  FIELD("tenant", STRING, 6, OMIT),
};
SCHEMA(quobyte_volume_source, "QuobyteVolumeSource");

static const struct schema_field azure_disk_volume_source_fields[] = {
    FIELD("diskName", STRING, 1),
    FIELD("diskURI", STRING, 2),
    FIELD("cachingMode", STRING, 3, OMIT, POINTER, .go_type = "v1.AzureDataDiskCachingMode"),
    FIELD("fsType", STRING, 4, OMIT, POINTER),
    FIELD("readOnly", BOOL, 5, OMIT, POINTER),
    FIELD("kind", STRING, 6, OMIT, POINTER, .go_type = "v1.AzureDataDiskKind"),
};
SCHEMA(azure_disk_volume_source, "AzureDiskVolumeSource");

static const struct schema_field photon_persistent_disk_volume_source_fields[] = {
    FIELD("pdID", STRING, 1),
    FIELD("fsType", STRING, 2, OMIT),
};
SCHEMA(photon_persistent_disk_volume_source, "PhotonPersistentDiskVolumeSource");

static const struct schema_field secret_projection_fields[] = {
    INLINED(1, local_object_reference),
    FIELD("items", OBJECT, 2, LIST, OF(key_to_path), OMIT, .atomic = true),
    FIELD("optional", BOOL, 4, OMIT, POINTER),
};
SCHEMA(secret_projection, "SecretProjection");

static const struct schema_field downward_api_projection_fields[] = {
    FIELD("items", OBJECT, 1, LIST, OF(downward_api_volume_file), OMIT, .atomic = true),
};
SCHEMA(downward_api_projection, "DownwardAPIProjection");

static const struct schema_field config_map_projection_fields[] = {
    INLINED(1, local_object_reference),
    FIELD("items", OBJECT, 2, LIST, OF(key_to_path), OMIT, .atomic = true),
    FIELD("optional", BOOL, 4, OMIT, POINTER),
};
SCHEMA(config_map_projection, "ConfigMapProjection");

static const struct schema_field service_account_token_projection_fields[] = {
    FIELD("audience", STRING, 1, OMIT),
    FIELD("expirationSeconds", INT64, 2, OMIT, POINTER, .def = "3600"),
    FIELD("path", STRING, 3, REQUIRED),
};
SCHEMA(service_account_token_projection, "ServiceAccountTokenProjection");

static const struct schema_field cluster_trust_bundle_projection_fields[] = {
    FIELD("name", STRING, 1, OMIT, POINTER),
    FIELD("signerName", STRING, 2, OMIT, POINTER),
    FIELD("labelSelector", OBJECT, 3, OF(label_selector), OMIT, POINTER),
    FIELD("optional", BOOL, 5, OMIT, POINTER),
    FIELD("path", STRING, 4),
};
SCHEMA(cluster_trust_bundle_projection, "ClusterTrustBundleProjection");

static const struct schema_field volume_projection_fields[] = {
    FIELD("secret", OBJECT, 1, OF(secret_projection), OMIT, POINTER),
    FIELD("downwardAPI", OBJECT, 2, OF(downward_api_projection), OMIT, POINTER),
    FIELD("configMap", OBJECT, 3, OF(config_map_projection), OMIT, POINTER),
    FIELD("serviceAccountToken", OBJECT, 4, OF(service_account_token_projection), OMIT, POINTER),
    FIELD("clusterTrustBundle", OBJECT, 5, OF(cluster_trust_bundle_projection), OMIT, POINTER),
};
SCHEMA(volume_projection, "VolumeProjection");

static const struct schema_field projected_volume_source_fields[] = {
    FIELD("sources", OBJECT, 1, LIST, OF(volume_projection), .atomic = true),
    FIELD("defaultMode", INT32, 2, OMIT, POINTER, .def = "420", BETWEEN(0, 511)),
};
SCHEMA(projected_volume_source, "ProjectedVolumeSource");

static const struct schema_field portworx_volume_source_fields[] = {
    FIELD("volumeID", STRING, 1),
    FIELD("fsType", STRING, 2, OMIT),
    FIELD("readOnly", BOOL, 3, OMIT),
};
SCHEMA(portworx_volume_source, "PortworxVolumeSource");

static const struct schema_field scale_io_volume_source_fields[] = {
    FIELD("gateway", STRING, 1),
    FIELD("system", STRING, 2),
    FIELD("secretRef", OBJECT, 3, OF(local_object_reference), POINTER),
    FIELD("sslEnabled", BOOL, 4, OMIT),
    FIELD("protectionDomain", STRING, 5, OMIT),
    FIELD("storagePool", STRING, 6, OMIT),
    FIELD("storageMode", STRING, 7, OMIT),
    FIELD("volumeName", STRING, 8, OMIT),
    FIELD("fsType", STRING, 9, OMIT),
    FIELD("readOnly", BOOL, 10, OMIT),
};
SCHEMA(scale_io_volume_source, "ScaleIOVolumeSource");

static const struct schema_field storage_os_volume_source_fields[] = {
    FIELD("volumeName", STRING, 1, OMIT),
    FIELD("volumeNamespace", STRING, 2, OMIT),
    FIELD("fsType", STRING, 3, OMIT),
    FIELD("readOnly", BOOL, 4, OMIT),
    FIELD("secretRef", OBJECT, 5, OF(local_object_reference), OMIT, POINTER),
};
SCHEMA(storage_os_volume_source, "StorageOSVolumeSource");

static const struct schema_field csi_volume_source_fields[] = {
    FIELD("driver", STRING, 1, REQUIRED),
    FIELD("readOnly", BOOL, 2, OMIT, POINTER),
    FIELD("fsType", STRING, 3, OMIT, POINTER),
    FIELD("volumeAttributes", STRING, 4, MAP, OMIT),
    FIELD("nodePublishSecretRef", OBJECT, 5, OF(local_object_reference), OMIT, POINTER),
};
SCHEMA(csi_volume_source, "CSIVolumeSource");

static const struct schema_field volume_resource_requirements_fields[] = {
    FIELD("limits", QUANTITY, 1, MAP, OMIT),
    FIELD("requests", QUANTITY, 2, MAP, OMIT),
};
SCHEMA(volume_resource_requirements, "VolumeResourceRequirements");

static const struct schema_field typed_local_object_reference_fields[] = {
    FIELD("apiGroup", STRING, 1, POINTER),
    FIELD("kind", STRING, 2),
    FIELD("name", STRING, 3),
};
SCHEMA(typed_local_object_reference, "TypedLocalObjectReference");

static const struct schema_field typed_object_reference_fields[] = {
    FIELD("apiGroup", STRING, 1, POINTER),
    FIELD("kind", STRING, 2),
    FIELD("name", STRING, 3),
    FIELD("namespace", STRING, 4, OMIT, POINTER),
};
SCHEMA(typed_object_reference, "TypedObjectReference");

static const struct schema_field persistent_volume_claim_spec_fields[] = {
    FIELD("accessModes", STRING, 1, LIST, OMIT, .go_type = "v1.PersistentVolumeAccessMode",
          .atomic = true),
    FIELD("selector", OBJECT, 4, OF(label_selector), OMIT, POINTER),
    FIELD("resources", OBJECT, 2, OF(volume_resource_requirements), OMIT),
    FIELD("volumeName", STRING, 3, OMIT),
    FIELD("storageClassName", STRING, 5, OMIT, POINTER),
    FIELD("volumeMode", STRING, 6, OMIT, POINTER, .go_type = "v1.PersistentVolumeMode"),
    FIELD("dataSource", OBJECT, 7, OF(typed_local_object_reference), OMIT, POINTER),
    FIELD("dataSourceRef", OBJECT, 8, OF(typed_object_reference), OMIT, POINTER),
    FIELD("volumeAttributesClassName", STRING, 9, OMIT, POINTER),
};
SCHEMA(persistent_volume_claim_spec, "PersistentVolumeClaimSpec");

static const struct schema_field persistent_volume_claim_template_fields[] = {
    FIELD("metadata", OBJECT, 1, OF(object_meta), OMIT),
    FIELD("spec", OBJECT, 2, OF(persistent_volume_claim_spec), .def = "{}"),
};
SCHEMA(persistent_volume_claim_template, "PersistentVolumeClaimTemplate");

static const struct schema_field ephemeral_volume_source_fields[] = {
    FIELD("volumeClaimTemplate", OBJECT, 1, OF(persistent_volume_claim_template), OMIT, POINTER),
};
SCHEMA(ephemeral_volume_source, "EphemeralVolumeSource");

static const struct schema_field image_volume_source_fields[] = {
    FIELD("reference", STRING, 1, OMIT),
    FIELD("pullPolicy", STRING, 2, OMIT, .go_type = "v1.PullPolicy"),
};
SCHEMA(image_volume_source, "ImageVolumeSource");

static const struct schema_field volume_source_fields[] = {
    FIELD("hostPath", OBJECT, 1, OF(host_path_volume_source), OMIT, POINTER),
    FIELD("emptyDir", OBJECT, 2, OF(empty_dir_volume_source), OMIT, POINTER),
    FIELD("gcePersistentDisk", OBJECT, 3, OF(gce_persistent_disk_volume_source), OMIT, POINTER),
    FIELD("awsElasticBlockStore", OBJECT, 4, OF(aws_elastic_block_store_volume_source), OMIT,
          POINTER),
    FIELD("gitRepo", OBJECT, 5, OF(git_repo_volume_source), OMIT, POINTER),
    FIELD("secret", OBJECT, 6, OF(secret_volume_source), OMIT, POINTER),
    FIELD("nfs", OBJECT, 7, OF(nfs_volume_source), OMIT, POINTER),
    FIELD("iscsi", OBJECT, 8, OF(iscsi_volume_source), OMIT, POINTER),
    FIELD("glusterfs", OBJECT, 9, OF(glusterfs_volume_source), OMIT, POINTER),
    FIELD("persistentVolumeClaim", OBJECT, 10, OF(persistent_volume_claim_volume_source), OMIT,
          POINTER),
    FIELD("rbd", OBJECT, 11, OF(rbd_volume_source), OMIT, POINTER),
    FIELD("flexVolume", OBJECT, 12, OF(flex_volume_source), OMIT, POINTER),
    FIELD("cinder", OBJECT, 13, OF(cinder_volume_source), OMIT, POINTER),
    FIELD("cephfs", OBJECT, 14, OF(ceph_fs_volume_source), OMIT, POINTER),
    FIELD("flocker", OBJECT, 15, OF(flocker_volume_source), OMIT, POINTER),
    FIELD("downwardAPI", OBJECT, 16, OF(downward_api_volume_source), OMIT, POINTER),
    FIELD("fc", OBJECT, 17, OF(fc_volume_source), OMIT, POINTER),
    FIELD("azureFile", OBJECT, 18, OF(azure_file_volume_source), OMIT, POINTER),
    FIELD("configMap", OBJECT, 19, OF(config_map_volume_source), OMIT, POINTER),
    FIELD("vsphereVolume", OBJECT, 20, OF(vsphere_virtual_disk_volume_source), OMIT, POINTER),
    FIELD("quobyte", OBJECT, 21, OF(quobyte_volume_source), OMIT, POINTER),
    FIELD("azureDisk", OBJECT, 22, OF(azure_disk_volume_source), OMIT, POINTER),
    FIELD("photonPersistentDisk", OBJECT, 23, OF(photon_persistent_disk_volume_source), OMIT,
          POINTER),
    FIELD("projected", OBJECT, 26, OF(projected_volume_source), OMIT, POINTER),
    FIELD("portworxVolume", OBJECT, 24, OF(portworx_volume_source), OMIT, POINTER),
    FIELD("scaleIO", OBJECT, 25, OF(scale_io_volume_source), OMIT, POINTER),
    FIELD("storageos", OBJECT, 27, OF(storage_os_volume_source), OMIT, POINTER),
    FIELD("csi", OBJECT, 28, OF(csi_volume_source), OMIT, POINTER),
    FIELD("ephemeral", OBJECT, 29, OF(ephemeral_volume_source), OMIT, POINTER),
    FIELD("image", OBJECT, 30, OF(image_volume_source), OMIT, POINTER),
};
SCHEMA(volume_source, "VolumeSource");

static const struct schema_field volume_fields[] = {
    FIELD("name", STRING, 1, REQUIRED, .format = FORMAT_DNS_LABEL),
    INLINED(2, volume_source),
};
SCHEMA(volume, "Volume");
