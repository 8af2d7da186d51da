using System.Runtime.InteropServices;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Activations.Caches;

/// <summary>The loose form of <c>activations</c>: both models' caches as one safetensors file.</summary>
public static class LooseCache
{
    const int ReadTokens = 1 << 16;
    const int StepBytes = 1 << 22;

    /// <summary>
    /// Writes <c>x</c> [N, M, D] float32 (of models of different widths <c>x.0</c> [N, D0], <c>x.1</c> [N, D1]) and <c>tokens</c> [N] int64, those of the chat model. Values are widened, never rounded.
    /// </summary>
    /// <returns>Rows written, and whether there are tokens.</returns>
    /// <exception cref="DiffractException">The caches do not belong together, are damaged or being written.</exception>
    public static (long Rows, bool Tokens) Convert(string baseCache, string chatCache, string output, IProgressSink progress, CancellationToken stop)
    {
        CachePair pair = CachePair.Open(baseCache, chatCache);
        CacheStamps stamps = new(pair);
        SafetensorsWriter writer = new();
        using TorchVector? tokens = pair.Chat.OpenTokens();
        if (tokens is null)
        {
            progress.Warn($"{pair.Chat.Root} was collected without its tokens: whether both models read the same cannot be told, and the file holds x alone");
        }
        else
        {
            writer.AddBytes("tokens", "I64", [pair.Rows], pair.Rows * sizeof(long), stream =>
            {
                long[] ids = new long[ReadTokens];
                for (long at = 0; at < pair.Rows; at += ReadTokens)
                {
                    Span<long> part = ids.AsSpan(0, (int)Math.Min(ReadTokens, pair.Rows - at));
                    tokens.Read(at, part);
                    stream.Write(MemoryMarshal.AsBytes(part));
                }
            });
        }

        int[] widths = pair.Widths, offsets = ActivationStore.Offsets(widths);
        bool equal = widths.Distinct().Count() == 1;
        if (equal)
        {
            writer.AddBytes("x", "F32", [pair.Rows, widths.Length, widths[0]], pair.Rows * offsets[^1] * sizeof(float), stream =>
            {
                Write(pair, 0, offsets[^1], stream, progress, stop);
                stamps.Require();
            });
        }
        else
        {
            for (int m = 0; m < widths.Length; m++)
            {
                int model = m;
                writer.AddBytes($"x.{m}", "F32", [pair.Rows, widths[m]], pair.Rows * widths[m] * sizeof(float), stream =>
                {
                    Write(pair, offsets[model], offsets[model + 1], stream, progress, stop);
                    stamps.Require();
                });
            }
        }

        writer.Save(output);
        return (pair.Rows, tokens is not null);
    }

    /// <summary>The columns from one to another of all rows. Files are read, not mapped: one that shrinks meanwhile gives an error and no fault.</summary>
    static void Write(CachePair pair, int from, int to, Stream stream, IProgressSink progress, CancellationToken stop)
    {
        int[] offsets = ActivationStore.Offsets(pair.Widths);
        using CacheRows rows = new(pair);
        int step = Math.Max(1, StepBytes / (offsets[^1] * sizeof(float)));
        float[] rows_BE = new float[step * offsets[^1]], kept = new float[step * (to - from)];
        for (long row = 0; row < pair.Rows; row += step)
        {
            stop.ThrowIfCancellationRequested();
            int count = (int)Math.Min(step, pair.Rows - row);
            rows.Read(row, count, rows_BE);
            for (int i = 0; i < count; i++)
            {
                rows_BE.AsSpan((i * offsets[^1]) + from, to - from).CopyTo(kept.AsSpan(i * (to - from)));
            }

            stream.Write(MemoryMarshal.AsBytes(kept.AsSpan(0, count * (to - from))));
            progress.Report("activations", row + count, pair.Rows, "rows");
        }
    }
}
