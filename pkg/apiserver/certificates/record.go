// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package certificates

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage"

	"safebeam.dev/safebeam/pkg/storage/record"
)

// ResourcePrefix is the folder of the records in the store.
const ResourcePrefix = "/internal.safebeam.dev/credentials"

// Resource is how errors, metrics and the encryption configuration name the
// records. They are served by no API.
var Resource = schema.GroupResource{Group: record.Version.Group, Resource: "credentials"}

// Record is what the server keeps of its own credentials, by name.
type Record struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Data map[string][]byte `json:"data,omitempty"`
}

// RecordList is a list of records.
type RecordList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Record `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (r *Record) DeepCopyObject() runtime.Object {
	out := &Record{TypeMeta: r.TypeMeta}
	r.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	if r.Data != nil {
		out.Data = make(map[string][]byte, len(r.Data))
		for name, value := range r.Data {
			out.Data[name] = append([]byte(nil), value...)
		}
	}
	return out
}

// DeepCopyObject implements runtime.Object.
func (l *RecordList) DeepCopyObject() runtime.Object {
	out := &RecordList{TypeMeta: l.TypeMeta, Items: make([]Record, len(l.Items))}
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	for i := range l.Items {
		out.Items[i] = *l.Items[i].DeepCopyObject().(*Record)
	}
	return out
}

// Codec encodes records for the store.
func Codec() runtime.Codec { return record.Codec(record.Version, &Record{}, &RecordList{}) }

// Records are the records in the store.
type Records struct {
	// Storage encodes with Codec, below ResourcePrefix.
	Storage storage.Interface
}

// Update changes the record of that name by compare-and-swap. An empty record
// is made if there is none. change returns false if nothing is to be written;
// it may be called several times.
func (r Records) Update(ctx context.Context, name string, change func(*Record) (bool, error)) error {
	err := r.Storage.GuaranteedUpdate(ctx, ResourcePrefix+"/"+name, &Record{}, true, nil,
		func(input runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
			record := input.(*Record)
			record.Name = name
			changed, err := change(record)
			if err == nil && !changed {
				err = errUnchanged
			}
			return record, nil, err
		}, nil)
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

var errUnchanged = errors.New("nothing to write")

const (
	certificatesKey = "tls.crt"
	keysKey         = "tls.key"
)

// decode reads the pairs of a record, the oldest first.
func decode(record *Record) ([]pair, error) {
	certificates, err := blocks(record.Data[certificatesKey])
	if err != nil {
		return nil, err
	}
	keys, err := blocks(record.Data[keysKey])
	if err != nil {
		return nil, err
	}
	if len(certificates) != len(keys) {
		return nil, fmt.Errorf("record %q has %d certificates and %d keys", record.Name, len(certificates), len(keys))
	}
	pairs := make([]pair, 0, len(certificates))
	for i := range certificates {
		certificate, err := x509.ParseCertificate(certificates[i])
		if err != nil {
			return nil, fmt.Errorf("certificate %d of record %q: %w", i, record.Name, err)
		}
		key, err := x509.ParsePKCS8PrivateKey(keys[i])
		if err != nil {
			return nil, fmt.Errorf("key %d of record %q: %w", i, record.Name, err)
		}
		signer, ok := key.(*ecdsa.PrivateKey)
		if !ok || !signer.PublicKey.Equal(certificate.PublicKey) {
			return nil, fmt.Errorf("key %d of record %q is not that of its certificate", i, record.Name)
		}
		pairs = append(pairs, pair{certificate: certificate, key: signer})
	}
	return pairs, nil
}

func encode(record *Record, pairs []pair) error {
	var keys []byte
	for _, p := range pairs {
		der, err := x509.MarshalPKCS8PrivateKey(p.key)
		if err != nil {
			return err
		}
		keys = append(keys, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	record.Data = map[string][]byte{certificatesKey: bundle(pairs), keysKey: keys}
	return nil
}

func blocks(data []byte) ([][]byte, error) {
	var out [][]byte
	for len(data) > 0 {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("trailing data is no PEM")
		}
		out, data = append(out, block.Bytes), rest
	}
	return out, nil
}
