using System.Runtime.InteropServices;

namespace Diffract.Cpu.Crosscoder;

/// <summary>The pairs that lie in the workers' lists, block by block, each block latent-major.</summary>
unsafe struct FoundPairs
{
    public int Latents;
    public int BlockLatents;
    public int Blocks;

    /// <summary>Only every so many-th block was looked at.</summary>
    public int Stride;

    /// <summary>[L]: pairs of each latent.</summary>
    public int* Counts;

    /// <summary>[blocks]: where each block's pairs begin.</summary>
    public Place* Places;

    /// <summary>[threads].</summary>
    public Found* Lists;

    /// <summary>[L]: the code norm s.</summary>
    public float* Scale;

    /// <summary>Where a block's pairs lie.</summary>
    public struct Place
    {
        public nint Worker;
        public nint Offset;
    }

    /// <summary>What one worker found, in the order in which it worked. A cache line of its own for each worker.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 128)]
    public struct Found
    {
        public int* Tokens;
        public float* Values;

        /// <summary>Beside values that are lower bounds: upper bounds. Otherwise not written.</summary>
        public float* Highs;
        public nint Count;
        public nint Capacity;

        public void Reserve(nint more)
        {
            if (Count + more <= Capacity)
            {
                return;
            }

            Capacity = Math.Max(Count + more, Capacity * 3 / 2 + 4096);
            Tokens = (int*)NativeMemory.Realloc(Tokens, (nuint)Capacity * sizeof(int));
            Values = (float*)NativeMemory.Realloc(Values, (nuint)Capacity * sizeof(float));
            Highs = (float*)NativeMemory.Realloc(Highs, (nuint)Capacity * sizeof(float));
        }

        public void Free()
        {
            NativeMemory.Free(Tokens);
            NativeMemory.Free(Values);
            NativeMemory.Free(Highs);
        }
    }
}
