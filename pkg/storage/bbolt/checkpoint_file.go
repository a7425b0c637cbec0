// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The checkpoint file is a bbolt database. docs/store-format.md specifies it.
var (
	bucketMeta    = []byte("meta")
	bucketKeys    = []byte("keys")
	bucketLeases  = []byte("leases")
	bucketJournal = []byte("journal")

	keyState = []byte("state")
)

const (
	checkpointName = "store.db"
	// formatVersion is the version of everything on disk. A store of a greater
	// one is refused.
	formatVersion = 1
)

// state is the checkpoint's own record: what the file holds is the result of
// all log records up to lsn.
type state struct {
	id      storeID
	lsn     uint64
	rev     int64
	compact int64
	// base is the revision that the store began with: 1, or what a restore
	// bumped it to. There is no change of that revision or before.
	base int64
}

func (s state) encode() []byte {
	b := make([]byte, 0, 64)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	b = append(b, s.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, s.lsn)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.rev))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.compact))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.base))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeState(b []byte) (s state, err error) {
	if len(b) < 4 {
		return s, errors.New("it has no state record")
	}
	if v := binary.LittleEndian.Uint32(b); v > formatVersion {
		return s, fmt.Errorf("it has format %d, written by a newer program; this one reads up to format %d", v, formatVersion)
	}
	if len(b) != 56 || crc32.Checksum(b[:52], castagnoli) != binary.LittleEndian.Uint32(b[52:]) {
		return s, errors.New("the checksum of its state record does not match")
	}
	copy(s.id[:], b[4:])
	s.lsn = binary.LittleEndian.Uint64(b[20:])
	s.rev = int64(binary.LittleEndian.Uint64(b[28:]))
	s.compact = int64(binary.LittleEndian.Uint64(b[36:]))
	s.base = int64(binary.LittleEndian.Uint64(b[44:]))
	return s, nil
}

// encodeStored is the value of a live key in bbolt: a checksum over the key and
// the rest, the metadata, the value.
func encodeStored(b []byte, e *entry) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.AppendVarint(b, e.mod)
	b = appendMeta(b, e)
	b = append(b, e.value...)
	binary.LittleEndian.PutUint32(b[at:], storedChecksum([]byte(e.key), b[at+4:]))
	return b
}

func storedChecksum(key, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, rest)
}

// decodeStored returns the entry of key; its value points into b.
func decodeStored(key, b []byte) (entry, error) {
	if len(b) < 8 || storedChecksum(key, b[4:]) != binary.LittleEndian.Uint32(b) {
		return entry{}, corrupt("the checksum of key %q in the checkpoint does not match", key)
	}
	e, value, err := decodeStoredMeta(b)
	if err != nil {
		return e, corrupt("key %q in the checkpoint: %v", key, err)
	}
	e.key, e.value = string(key), value
	return e, nil
}

// decodeStoredMeta decodes without looking at the checksum or the key.
func decodeStoredMeta(b []byte) (e entry, value []byte, err error) {
	r := &payloadReader{b: b[4:]}
	e.mod = r.varint()
	r.meta(&e)
	return e, r.b, r.err
}

// checkpointFile is the bbolt database, which online defragmentation replaces
// under the feet of its readers.
type checkpointFile struct {
	path string
	// bytes is the size of the file, as of the last checkpoint.
	bytes atomic.Int64

	mu sync.RWMutex
	db *bolt.DB
}

// mmapSize is reserved address space, not memory: growing the map would have to
// wait for every reader, and new ones for it.
const mmapSize = 8 << 30

func boltOptions() *bolt.Options {
	return &bolt.Options{
		Timeout:         time.Second,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: mmapSize,
		PreLoadFreelist: true,
	}
}

func openCheckpoint(path string, noSync bool) (*checkpointFile, error) {
	opts := boltOptions()
	opts.NoSync = noSync
	db, err := bolt.Open(path, fileMode, opts)
	if err != nil {
		return nil, fmt.Errorf("opening the checkpoint %s: %w", path, err)
	}
	c := &checkpointFile{path: path, db: db}
	c.measure()
	return c, nil
}

// createCheckpoint makes an empty checkpoint file durably, or not at all.
func createCheckpoint(path string, s state) error {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	opts := boltOptions()
	opts.InitialMmapSize = 0
	db, err := bolt.Open(tmp, fileMode, opts)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketKeys, bucketLeases, bucketJournal} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keyState, s.encode())
	})
	if closeErr := db.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("creating %s: %w", tmp, err)
	}
	return renameDurably(tmp, path)
}

func renameDurably(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// begin starts a read transaction, to be rolled back by the caller.
func (c *checkpointFile) begin() (*bolt.Tx, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.db.Begin(false)
}

func readState(tx *bolt.Tx) (state, error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return state{}, corrupt("%s: it is no checkpoint of ours (no bucket %q)", tx.DB().Path(), bucketMeta)
	}
	s, err := decodeState(meta.Get(keyState))
	if err != nil {
		return s, corrupt("%s: %v", tx.DB().Path(), err)
	}
	for _, name := range [][]byte{bucketKeys, bucketLeases, bucketJournal} {
		if tx.Bucket(name) == nil {
			return s, corrupt("%s: bucket %q is missing", tx.DB().Path(), name)
		}
	}
	return s, nil
}

// measure takes note of the size of the file.
func (c *checkpointFile) measure() {
	if info, err := os.Stat(c.path); err == nil {
		c.bytes.Store(info.Size())
	}
}

func (c *checkpointFile) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.db.Close()
}

// beginUpdate starts a transaction that is synced when it is committed.
func (c *checkpointFile) beginUpdate() (*bolt.Tx, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.db.Begin(true)
}
