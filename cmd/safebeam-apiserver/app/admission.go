// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	mutatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	validatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// enforceQuota adds the plugin that counts our objects against the
// ResourceQuotas of their namespace: kube-controller-manager counts them, but
// nobody refuses them but the server that serves them.
func enforceQuota(o *genericoptions.RecommendedOptions) {
	resourcequota.Register(o.Admission.Plugins)
	o.Admission.RecommendedPluginOrder = append(o.Admission.RecommendedPluginOrder, resourcequota.PluginName)
	o.ExtraAdmissionInitializers = func(*genericapiserver.RecommendedConfig) ([]admission.PluginInitializer, error) {
		// Objects of resources that no evaluator is for are counted.
		return []admission.PluginInitializer{quotaInitializer{generic.NewConfiguration(nil, nil)}}, nil
	}
}

type quotaInitializer struct{ configuration quota.Configuration }

func (i quotaInitializer) Initialize(plugin admission.Interface) {
	if wants, ok := plugin.(initializer.WantsQuotaConfiguration); ok {
		wants.SetQuotaConfiguration(i.configuration)
	}
}

// policies are the plugins that watch an API which a cluster may not serve,
// and until then refuse every write.
var policies = map[string]string{
	mutatingpolicy.PluginName:   "mutatingadmissionpolicies",
	validatingpolicy.PluginName: "validatingadmissionpolicies",
}

// leaveOutUnserved turns the plugins off whose API the cluster does not serve.
func leaveOutUnserved(ctx context.Context, o *genericoptions.RecommendedOptions) error {
	config, err := clusterConfig(o)
	if err != nil {
		return err
	}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	const version = "admissionregistration.k8s.io/v1"
	served, err := client.ServerResourcesForGroupVersion(version)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("asking the cluster what it serves of %s: %w", version, err)
	}
	for plugin, resource := range policies {
		if served != nil && slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == resource }) {
			continue
		}
		if slices.Contains(o.Admission.EnablePlugins, plugin) {
			return fmt.Errorf("--enable-admission-plugins=%s: this cluster does not serve %s in %s", plugin, resource, version)
		}
		klog.FromContext(ctx).Info("Admission plugin left out: the cluster does not serve its API", "plugin", plugin, "resource", resource, "version", version)
		if !slices.Contains(o.Admission.DisablePlugins, plugin) {
			o.Admission.DisablePlugins = append(o.Admission.DisablePlugins, plugin)
		}
	}
	return nil
}

// clusterConfig is the client of the kube-apiserver that --kubeconfig names,
// or else of the one that runs this pod.
func clusterConfig(o *genericoptions.RecommendedOptions) (*rest.Config, error) {
	if path := o.CoreAPI.CoreAPIKubeconfigPath; path != "" {
		return clientcmd.BuildConfigFromFlags("", path)
	}
	return rest.InClusterConfig()
}
