// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package policies

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const (
	deploy     = "../../artifacts/deploy"
	controller = "system:serviceaccount:safebeam-system:safebeam-controller"
	// namespace is open to jobs and sandboxes.
	namespace = "tenant"
)

// shipped reads the objects of a manifest of artifacts/deploy.
func shipped(t *testing.T, path string) (objects []runtime.Object) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(deploy, path))
	if err != nil {
		t.Fatal(err)
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(document, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		objects = append(objects, object)
	}
}

// flags are those of the controller as it is deployed: what it makes of them has
// to agree with the policies.
func flags(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, argument := range shipped(t, "controller/deployment.yaml")[0].(*appsv1.Deployment).Spec.Template.Spec.Containers[0].Args {
		name, value, _ := strings.Cut(strings.TrimPrefix(argument, "--"), "=")
		found[name] = value
	}
	return found
}

// policies is the plugin of a kube-apiserver with the policies that are shipped.
type policies struct {
	t      *testing.T
	plugin *validating.Plugin
}

func start(t *testing.T) policies {
	t.Helper()
	// A kube-apiserver sets these.
	equivalent := admissionv1.Equivalent
	objects := []runtime.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}}
	paths, err := filepath.Glob(filepath.Join(deploy, "policy", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	installed := kustomized(t)
	for _, path := range paths {
		path = filepath.Join("policy", filepath.Base(path))
		if !installed[path] {
			t.Errorf("%s is not installed: kustomization.yaml does not list it", path)
		}
		for _, object := range shipped(t, path) {
			if policy, ok := object.(*admissionv1.ValidatingAdmissionPolicy); ok {
				policy.Spec.MatchConstraints.MatchPolicy = &equivalent
				policy.Spec.MatchConstraints.NamespaceSelector, policy.Spec.MatchConstraints.ObjectSelector = &metav1.LabelSelector{}, &metav1.LabelSelector{}
			}
			objects = append(objects, object)
		}
	}
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	plugin, err := validating.NewPlugin(nil)
	if err != nil {
		t.Fatal(err)
	}
	initializer.New(client, dynamicfake.NewSimpleDynamicClient(scheme.Scheme), factory, authorizerfactory.NewAlwaysDenyAuthorizer(),
		utilfeature.DefaultFeatureGate, compatibility.DefaultBuildEffectiveVersion(), t.Context().Done(), meta.NewDefaultRESTMapper(nil)).Initialize(plugin)
	if err := plugin.ValidateInitialization(); err != nil {
		t.Fatal(err)
	}
	factory.StartWithContext(t.Context())
	p := policies{t, plugin}
	// The plugin compiles a policy some time after it has seen it.
	meta := metav1.ObjectMeta{Name: "probe", Namespace: namespace}
	for _, probe := range []runtime.Object{&corev1.Pod{ObjectMeta: meta}, &batchv1.Job{ObjectMeta: meta}, &networkingv1.NetworkPolicy{ObjectMeta: meta}} {
		for deadline := time.Now().Add(time.Minute); p.validate(request{operation: admission.Create, object: probe}) == nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no policy is in force for %T", probe)
			}
		}
	}
	return p
}

// kustomized are the files that kubectl apply -k installs.
func kustomized(t *testing.T) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(deploy, "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	if err := yaml.Unmarshal(data, &kustomization); err != nil {
		t.Fatal(err)
	}
	installed := map[string]bool{}
	for _, path := range kustomization.Resources {
		installed[path] = true
	}
	return installed
}

// request is a write. Without a user it is the controller's.
type request struct {
	user        string
	operation   admission.Operation
	object, old runtime.Object
}

// validate answers as a kube-apiserver would.
func (p policies) validate(r request) error {
	p.t.Helper()
	of := r.object
	if of == nil {
		of = r.old
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(of)
	if err != nil {
		p.t.Fatal(err)
	}
	accessor, err := meta.Accessor(of)
	if err != nil {
		p.t.Fatal(err)
	}
	resource, _ := meta.UnsafeGuessKindToResource(kinds[0])
	if r.user == "" {
		r.user = controller
	}
	attributes := admission.NewAttributesRecord(r.object, r.old, kinds[0], accessor.GetNamespace(), accessor.GetName(), resource, "",
		r.operation, nil, false, &user.DefaultInfo{Name: r.user})
	return p.plugin.Validate(p.t.Context(), attributes, admission.NewObjectInterfacesFromScheme(scheme.Scheme))
}

func (p policies) allows(what string, r request) {
	p.t.Helper()
	if err := p.validate(r); err != nil {
		p.t.Errorf("%s: %v", what, err)
	}
}

// refuses wants the refusal that names the reason: another one would hide that
// this one does not hold.
func (p policies) refuses(what, reason string, r request) {
	p.t.Helper()
	err := p.validate(r)
	if err == nil || !strings.Contains(err.Error(), reason) {
		p.t.Errorf("%s: %v, want %q", what, err, reason)
	}
	r.user = "somebody-else"
	if err := p.validate(r); err != nil {
		p.t.Errorf("%s, of somebody else: %v", what, err)
	}
}
