// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	contextName = "safebeam"
	userName    = "safebeam-admin"
	// minTokenLength is below what is made here, and above what can be guessed.
	minTokenLength = 26
)

// adminToken is the token in the kubeconfig of an earlier run, so that copies
// of it stay good, or a new one.
func adminToken(kubeconfig string) (string, error) {
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if errors.Is(err, fs.ErrNotExist) {
		return rand.Text(), nil
	}
	if err != nil {
		return "", fmt.Errorf("%s holds the admin's credential and cannot be read; mend it, or remove it to have another made: %w", kubeconfig, err)
	}
	if user := config.AuthInfos[userName]; user != nil && len(user.Token) >= minTokenLength {
		return user.Token, nil
	}
	return rand.Text(), nil
}

// writeKubeconfig writes the admin's kubeconfig, for its owner's eyes only.
func writeKubeconfig(file, server string, ca []byte, token string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters[contextName] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[userName] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts[contextName] = &clientcmdapi.Context{Cluster: contextName, AuthInfo: userName, Namespace: "default"}
	config.CurrentContext = contextName
	data, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	return replaceFile(file, data)
}

// replaceFile puts data in the place of file, mode 0600, so that a reader sees
// the old or the new whole.
func replaceFile(file string, data []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // made 0600
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // it is gone if all went well
	if _, err := temporary.Write(data); err != nil {
		return errors.Join(err, temporary.Close())
	}
	if err := errors.Join(temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), file)
}
