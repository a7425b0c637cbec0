// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data. Arguments are 64 bits, lower half first on the
// machines we know.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

// Return values of a filter.
const (
	retKill  = 0x80000000
	retErrno = 0x00050000
	retAllow = 0x7fff0000
)

// program is a filter in the making. Jumps in classic BPF go forward only, and by at
// most 255 instructions, so every rule is a small block that falls through to the
// next.
type program []unix.SockFilter

func (p *program) add(code uint16, k uint32, jt, jf uint8) {
	*p = append(*p, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

func (p *program) load(offset uint32) { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0) }
func (p *program) ret(value uint32)   { p.add(unix.BPF_RET|unix.BPF_K, value, 0, 0) }
func (p *program) errno(e unix.Errno) { p.ret(retErrno | uint32(e)) }

// skipUnlessEqual goes on if the accumulator is k, else past n instructions.
func (p *program) skipUnlessEqual(k uint32, n uint8) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, k, 0, n)
}

// skipIfEqual goes past n instructions if the accumulator is k.
func (p *program) skipIfEqual(k uint32, n uint8) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, k, n, 0)
}

// A Filter is a program, or why there is none.
type Filter struct {
	program program
	err     error
}

// Bytes is the program as bwrap --seccomp takes it.
func (f Filter) Bytes() ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	b := make([]byte, 0, 8*len(f.program))
	for _, i := range f.program {
		b = binary.NativeEndian.AppendUint16(b, i.Code)
		b = append(b, i.Jt, i.Jf)
		b = binary.NativeEndian.AppendUint32(b, i.K)
	}
	return b, nil
}

// prologue decides what does not depend on the filter, and leaves the number of the
// call in the accumulator.
func prologue() (program, error) {
	if newest == 0 {
		return nil, errors.New("no seccomp filter for this architecture")
	}
	var p program
	// Another architecture's calls (32-bit ones of the same machine) have other
	// numbers: nothing here would mean anything.
	p.load(offsetArch)
	p.skipIfEqual(auditArch, 1)
	p.ret(retKill)
	p.load(offsetNumber)
	return p, nil
}

// addRules adds rules, each as a block that ends in returns.
func (p *program) addRules(rules []rule) error {
	for _, r := range rules {
		block := r.block()
		if len(block) > 254 {
			return fmt.Errorf("the rule of call %d has %d instructions", r.number, len(block))
		}
		p.skipUnlessEqual(r.number, uint8(len(block)))
		*p = append(*p, block...)
	}
	p.ret(retAllow)
	if len(*p) > unix.BPF_MAXINSNS {
		return fmt.Errorf("a filter of %d instructions", len(*p))
	}
	return nil
}

// rule decides a call by its arguments.
type rule struct {
	number uint32
	block  func() program
}

// argument loads the lower half of an argument. The kernel takes all arguments
// that are decided on here as 32 bits.
func (p *program) argument(n uint32) { p.load(offsetArgs + 8*n) }

// ifAnyBit denies with EPERM if the argument has one of the bits.
func ifAnyBit(arg, bits uint32) func() program {
	return func() program {
		var p program
		p.argument(arg)
		p.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, bits, 0, 1)
		p.errno(unix.EPERM)
		p.ret(retAllow)
		return p
	}
}

// ifAnyOf denies with EPERM if the argument is one of the values.
func ifAnyOf(arg uint32, values ...uint32) func() program {
	return func() program {
		var p program
		p.argument(arg)
		for _, v := range values {
			p.skipUnlessEqual(v, 1)
			p.errno(unix.EPERM)
		}
		p.ret(retAllow)
		return p
	}
}

// unlessOneOf denies if the argument is none of the values.
func unlessOneOf(arg uint32, e unix.Errno, values ...uint32) func() program {
	return func() program {
		var p program
		p.argument(arg)
		for _, v := range values {
			p.skipUnlessEqual(v, 1)
			p.ret(retAllow)
		}
		p.errno(e)
		return p
	}
}
