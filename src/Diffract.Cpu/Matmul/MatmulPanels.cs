using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Diffract.Compute.Buffers;

namespace Diffract.Cpu.Matmul;

/// <summary>Copies into panels [k][columns], the order in which a tile reads its second operand.</summary>
static unsafe class MatmulPanels
{
    /// <summary>panel[k][j] = b[j][k] for <paramref name="rows"/> rows of b; columns beyond them become 0.</summary>
    public static void FromRows(float* b, nint ldb, int rows, int depth, int columns, float* panel)
    {
        if (rows < columns)
        {
            new Span<float>(panel, checked(depth * columns)).Clear();
        }

        Transpose(b, ldb, rows, depth, panel, columns);
    }

    /// <summary>panel[k][j] = b[k][j]; columns beyond <paramref name="valid"/> become 0.</summary>
    public static void FromColumns(float* b, nint ldb, int valid, int depth, int columns, float* panel)
    {
        for (int k = 0; k < depth; k++)
        {
            Span<float> target = new(panel + (nint)k * columns, columns);
            new ReadOnlySpan<float>(b + k * ldb, valid).CopyTo(target);
            target[valid..].Clear();
        }
    }

    /// <summary>The same as <see cref="FromRows"/>, on the 16 bits of bfloat16.</summary>
    public static void FromRowsBFloat16(ushort* b, nint ldb, int rows, int depth, int columns, ushort* panel)
    {
        if (rows < columns)
        {
            new Span<ushort>(panel, checked(depth * columns)).Clear();
        }

        for (int j = 0; j < rows; j++)
        {
            ushort* row = b + j * ldb;
            ushort* target = panel + j;
            for (int k = 0; k < depth; k++)
            {
                *target = row[k];
                target += columns;
            }
        }
    }

    /// <summary>The same as <see cref="FromRows"/>, from bfloat16 to float32.</summary>
    public static void FromRowsWidened(ushort* b, nint ldb, int rows, int depth, int columns, float* panel)
    {
        if (rows < columns)
        {
            new Span<float>(panel, checked(depth * columns)).Clear();
        }

        const int Chunk = 256;
        float* wide = stackalloc float[8 * Chunk];
        for (int j = 0; j < rows; j += 8)
        {
            int some = Math.Min(8, rows - j);
            for (int k = 0; k < depth; k += Chunk)
            {
                int steps = Math.Min(Chunk, depth - k);
                for (int r = 0; r < some; r++)
                {
                    Widen(b + (j + r) * ldb + k, steps, wide + r * Chunk);
                }

                Transpose(wide, Chunk, some, steps, panel + (nint)k * columns + j, columns);
            }
        }
    }

    /// <summary>bfloat16 to float32; exact.</summary>
    public static void Widen(ushort* source, int count, float* target)
    {
        int i = 0;
        for (; i <= count - 8; i += 8)
        {
            Vector128<ushort> bits = Vector128.Load(source + i);
            Vector128.ShiftLeft(Vector128.WidenLower(bits), 16).AsSingle().Store(target + i);
            Vector128.ShiftLeft(Vector128.WidenUpper(bits), 16).AsSingle().Store(target + i + 4);
        }

        for (; i < count; i++)
        {
            target[i] = BFloat16.ToSingle(source[i]);
        }
    }

    /// <summary>target[j][i] = source[i][j] for a block of rows by columns.</summary>
    public static void Transpose(float* source, nint lds, int rows, int columns, float* target, nint ldt)
    {
        int done = 0;
        if (Avx.IsSupported)
        {
            for (; done <= rows - 8; done += 8)
            {
                int j = 0;
                for (; j <= columns - 8; j += 8)
                {
                    Transpose8(source + done * lds + j, lds, target + j * ldt + done, ldt);
                }

                for (; j < columns; j++)
                {
                    for (int i = done; i < done + 8; i++)
                    {
                        target[j * ldt + i] = source[i * lds + j];
                    }
                }
            }
        }

        for (int j = 0; j < columns; j++)
        {
            for (int i = done; i < rows; i++)
            {
                target[j * ldt + i] = source[i * lds + j];
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Transpose8(float* source, nint lds, float* target, nint ldt)
    {
        Vector256<float> r0 = Vector256.Load(source);
        Vector256<float> r1 = Vector256.Load(source + lds);
        Vector256<float> r2 = Vector256.Load(source + 2 * lds);
        Vector256<float> r3 = Vector256.Load(source + 3 * lds);
        Vector256<float> r4 = Vector256.Load(source + 4 * lds);
        Vector256<float> r5 = Vector256.Load(source + 5 * lds);
        Vector256<float> r6 = Vector256.Load(source + 6 * lds);
        Vector256<float> r7 = Vector256.Load(source + 7 * lds);
        Vector256<float> t0 = Avx.UnpackLow(r0, r1);
        Vector256<float> t1 = Avx.UnpackHigh(r0, r1);
        Vector256<float> t2 = Avx.UnpackLow(r2, r3);
        Vector256<float> t3 = Avx.UnpackHigh(r2, r3);
        Vector256<float> t4 = Avx.UnpackLow(r4, r5);
        Vector256<float> t5 = Avx.UnpackHigh(r4, r5);
        Vector256<float> t6 = Avx.UnpackLow(r6, r7);
        Vector256<float> t7 = Avx.UnpackHigh(r6, r7);
        r0 = Avx.Shuffle(t0, t2, 0x44);
        r1 = Avx.Shuffle(t0, t2, 0xEE);
        r2 = Avx.Shuffle(t1, t3, 0x44);
        r3 = Avx.Shuffle(t1, t3, 0xEE);
        r4 = Avx.Shuffle(t4, t6, 0x44);
        r5 = Avx.Shuffle(t4, t6, 0xEE);
        r6 = Avx.Shuffle(t5, t7, 0x44);
        r7 = Avx.Shuffle(t5, t7, 0xEE);
        Avx.Permute2x128(r0, r4, 0x20).Store(target);
        Avx.Permute2x128(r1, r5, 0x20).Store(target + ldt);
        Avx.Permute2x128(r2, r6, 0x20).Store(target + 2 * ldt);
        Avx.Permute2x128(r3, r7, 0x20).Store(target + 3 * ldt);
        Avx.Permute2x128(r0, r4, 0x31).Store(target + 4 * ldt);
        Avx.Permute2x128(r1, r5, 0x31).Store(target + 5 * ldt);
        Avx.Permute2x128(r2, r6, 0x31).Store(target + 6 * ldt);
        Avx.Permute2x128(r3, r7, 0x31).Store(target + 7 * ldt);
    }
}
