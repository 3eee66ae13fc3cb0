# libsluice: the static archive that the programs link and the shared object that users link.
# Kernels are those of the architecture; objects of another one go to a folder of their own.
ISAS_x86_64 := avx2 avx512
ISAS_aarch64 := neon
isa_srcs = $(foreach i,$(ISAS_$(1)),lib/ops/kernels/$(i)/%)
HOST_ARCH := $(firstword $(subst -, ,$(shell $(CXX) -dumpmachine)))
ALL_LIB_SRCS := $(sort $(shell find lib -name '*.cc'))
lib_srcs = $(filter-out $(foreach a,$(filter-out $(1),x86_64 aarch64),$(call isa_srcs,$(a))),$(ALL_LIB_SRCS))
LIB_SRCS := $(call lib_srcs,$(HOST_ARCH))
# Pure C that the driver is made of as well.
LIB_C_SRCS := kernel/shared/clock.c
lib_objs = $(LIB_SRCS:%.cc=$(1)/obj/%.o) $(LIB_C_SRCS:%.c=$(1)/obj/%.o)

# Kernels: each ISA in its own objects with its own flags, nothing shared with the rest.
# GCC 12 takes the undefined operands inside its own AVX-512 intrinsics for bugs of ours.
ISA_FLAGS_avx2 := -O3 -mavx2 -mfma -mf16c
ISA_FLAGS_avx512 := -O3 -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni \
	-mprefer-vector-width=512 -Wno-maybe-uninitialized -Wno-uninitialized
ISA_FLAGS_neon := -O3
ISA_FLAGS_dotprod := -O3 -march=armv8.2-a+dotprod
$(O)/obj/lib/ops/kernels/avx2/%.o $(O)/asan/obj/lib/ops/kernels/avx2/%.o: EXTRA_FLAGS := $(ISA_FLAGS_avx2)
$(O)/obj/lib/ops/kernels/avx512/%.o $(O)/asan/obj/lib/ops/kernels/avx512/%.o: EXTRA_FLAGS := $(ISA_FLAGS_avx512)
# Folders of objects: this machine's, sanitized, and cross-built for arm64 (tests/neon).
OBJ_FOLDERS := $(O)/obj $(O)/asan/obj $(O)/neon/obj
$(OBJ_FOLDERS:%=%/lib/ops/kernels/neon/neon.o): EXTRA_FLAGS := $(ISA_FLAGS_neon)
$(OBJ_FOLDERS:%=%/lib/ops/kernels/neon/dotprod.o): EXTRA_FLAGS := $(ISA_FLAGS_dotprod)

# Encoding and decoding are loops over values, which -O3 turns into vectors.
$(OBJ_FOLDERS:%=%/lib/quant/%.o): EXTRA_FLAGS := -O3

$(O)/lib/libsluice.a: $(call lib_objs,$(O)) $(O)/obj/models/embedded.o
$(O)/asan/lib/libsluice.a: $(call lib_objs,$(O)/asan) $(O)/asan/obj/models/embedded.o
%/libsluice.a:
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && $(AR) rcs $@ $^

SONAME := libsluice.so.0
$(O)/lib/$(SONAME): $(call lib_objs,$(O)) $(O)/obj/models/embedded.o lib/libsluice.map
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=lib/libsluice.map \
		-Wl,-z,defs $(LDFLAGS) -o $@ $(filter %.o,$^) $(LDLIBS)
$(O)/lib/libsluice.so: $(O)/lib/$(SONAME)
	$(Q)ln -sf $(SONAME) $@

LIBRARIES := $(O)/lib/libsluice.a $(O)/lib/libsluice.so
