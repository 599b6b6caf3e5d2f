// Reads Kubernetes manifests as the API server does: strictly, with its defaults and its own validation.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
)

func check(object runtime.Object) (string, field.ErrorList) {
	switch o := object.(type) {
	case *apps.Deployment:
		o.Namespace = namespace(o.Namespace)
		return "Deployment/" + o.Name, appsvalidation.ValidateDeployment(o, podutil.GetValidationOptionsFromPodTemplate(&o.Spec.Template, nil))
	case *batch.CronJob:
		o.Namespace = namespace(o.Namespace)
		return "CronJob/" + o.Name, batchvalidation.ValidateCronJobCreate(o, podutil.GetValidationOptionsFromPodTemplate(&o.Spec.JobTemplate.Spec.Template, nil))
	case *core.PersistentVolumeClaim:
		o.Namespace = namespace(o.Namespace)
		return "PersistentVolumeClaim/" + o.Name, corevalidation.ValidatePersistentVolumeClaim(o, corevalidation.ValidationOptionsForPersistentVolumeClaim(o, nil))
	case *core.ConfigMap:
		o.Namespace = namespace(o.Namespace)
		return "ConfigMap/" + o.Name, corevalidation.ValidateConfigMap(o)
	}
	return fmt.Sprintf("%T", object), field.ErrorList{field.InternalError(nil, errors.New("this kind is not checked here"))}
}

// An object without a namespace is put into the one of the person who applies it.
func namespace(name string) string {
	if name == "" {
		return "default"
	}
	return name
}

func run(file string) (bad bool) {
	raw, err := os.ReadFile(file)
	if err != nil {
		fmt.Println(err)
		return true
	}
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder()
	documents := yamlutil.NewYAMLReader(bufio.NewReader(bytes.NewReader(raw)))
	for {
		one, err := documents.Read()
		if err == io.EOF {
			return bad
		}
		if err != nil {
			fmt.Printf("%s: %v\n", file, err)
			return true
		}
		object, _, err := decoder.Decode(one, nil, nil)
		if err != nil {
			fmt.Printf("%s: %v\n", file, err)
			bad = true
			continue
		}
		name, wrong := check(object)
		fmt.Printf("%s: %s: %d wrong\n", file, name, len(wrong))
		for _, each := range wrong {
			fmt.Printf("%s: %s: %v\n", file, name, each)
			bad = true
		}
	}
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("manifests, with the validation of Kubernetes")
		return
	}
	bad := false
	for _, file := range os.Args[1:] {
		bad = run(file) || bad
	}
	if bad {
		os.Exit(1)
	}
}
