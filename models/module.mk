# The embedded default model travels inside the library.
$(O)/obj/models/embedded.o $(O)/asan/obj/models/embedded.o: models/tales-7m-f16.gguf
