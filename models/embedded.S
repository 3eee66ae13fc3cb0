// The default model as read-only data, aligned as GGUF aligns its tensors.
    .section .rodata
    .balign 64
    .globl sluice_embedded_model_begin
    .hidden sluice_embedded_model_begin
sluice_embedded_model_begin:
    .incbin "models/tales-7m-f16.gguf"
    .globl sluice_embedded_model_end
    .hidden sluice_embedded_model_end
sluice_embedded_model_end:
    .section .note.GNU-stack,"",@progbits
