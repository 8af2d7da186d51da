using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>
/// Encoding a loose file: <c>x</c> [N, M, D] (SAEs [N, D]), raw, to <c>code</c> [N, L] (unscaled; decoupled [N, M, L]) and <c>reconstruction</c>, of the shape of x and raw too.
/// </summary>
public static class LooseEncoding
{
    const int Batch = 1024;

    public static void Run(string folder, string activations, string output, IBackend backend, IProgressSink progress, CancellationToken stop)
    {
        using Crosscoder crosscoder = CrosscoderFolder.Load(folder, backend);
        if (crosscoder.ThresholdUnset)
        {
            progress.Warn($"{folder} has no inference threshold ({string.Join(", ", crosscoder.Thresholds)}): every positive latent is kept, the code is dense");
        }

        using SafetensorsFile file = SafetensorsFile.Open(activations);
        long[] shape = file["x"].Shape;
        int width = crosscoder.Config.Widths[0];
        long[] wanted = crosscoder.Config.Sae ? [width] : [crosscoder.Models, width];
        if (shape.Length < 2 || !shape.AsSpan(1).SequenceEqual(wanted) || shape[0] > int.MaxValue)
        {
            throw new DiffractException($"{activations}: tensor x has the shape [{string.Join(", ", shape)}], wanted [tokens, {string.Join(", ", wanted)}] for {folder}");
        }

        float[] x = file.Floats("x");
        int broken = Array.FindIndex(x, v => !float.IsFinite(v));
        if (broken >= 0)
        {
            (int row, int column) = (broken / crosscoder.E, broken % crosscoder.E);
            throw new DiffractException($"{activations}: x holds {(float.IsNaN(x[broken]) ? "NaN" : "infinity")} at token {row}, model {column / width}, column {column % width}; harvest it again");
        }

        Encoder encoder = new(crosscoder, x, (int)shape[0], progress, stop);
        SafetensorsWriter writer = new();
        long[] code = crosscoder.Decoupled ? [shape[0], crosscoder.Models, crosscoder.Latents] : [shape[0], crosscoder.Latents];
        writer.AddBytes("code", "F32", code, code.Aggregate((a, b) => a * b) * sizeof(float), encoder.WriteCode);
        writer.AddBytes("reconstruction", "F32", shape, shape[0] * crosscoder.E * sizeof(float), encoder.WriteReconstruction);
        writer.Save(output);
        progress.Done("encode", FormattableString.Invariant($"{shape[0]} tokens, L0 {encoder.Pairs / (double)shape[0]:F2}, {output}"));
    }

    /// <summary>The file's two tensors, a batch at a time; each is written in a pass of its own.</summary>
    sealed class Encoder(Crosscoder crosscoder, float[] x, int tokens, IProgressSink progress, CancellationToken stop)
    {
        public long Pairs { get; private set; }

        public void WriteCode(Stream stream)
        {
            int latents = crosscoder.Latents;
            float[] code_ML = new float[(crosscoder.Decoupled ? crosscoder.Models : 1) * latents];
            Pairs = 0;
            ForEach((code, _) =>
            {
                Pairs += code.Pairs;
                Span<int> start = code.TokenStart.Span<int>();
                for (int b = 0; b < code.Tokens; b++)
                {
                    Array.Clear(code_ML);
                    for (int i = start[b]; i < start[b + 1]; i++)
                    {
                        int pair = code.TokenPairs.Span<int>()[i], latent = code.TokenLatent.Span<int>()[i];
                        int active = code.ModelOffsets is null ? 1 : code.PairModels!.Span<int>()[pair];
                        for (int m = 0; m * latents < code_ML.Length; m++)
                        {
                            code_ML[m * latents + latent] = (active >> m & 1) != 0 ? code.PairValue.Span<float>()[pair] : 0;
                        }
                    }

                    stream.Write(MemoryMarshal.AsBytes(code_ML.AsSpan()));
                }
            });
        }

        public void WriteReconstruction(Stream stream)
        {
            Matrix recon_BE = crosscoder.Backend.Matrix(Batch, crosscoder.E);
            ForEach((code, done) =>
            {
                Matrix part_BE = recon_BE.SliceRows(0, code.Tokens);
                crosscoder.Decode(code, part_BE);
                for (int b = 0; b < code.Tokens; b++)
                {
                    stream.Write(MemoryMarshal.AsBytes(part_BE.Row(b)));
                }

                progress.Report("encode", done, tokens, "tokens");
            });
            recon_BE.Buffer.Dispose();
        }

        void ForEach(Action<SparseCode, int> each)
        {
            Matrix acts_BE = crosscoder.Backend.Matrix(Batch, crosscoder.E);
            using SparseCode code = crosscoder.NewCode(Batch);
            for (int first = 0; first < tokens; first += Batch)
            {
                stop.ThrowIfCancellationRequested();
                int count = Math.Min(Batch, tokens - first);
                Matrix part_BE = acts_BE.SliceRows(0, count);
                crosscoder.Backend.Upload(x.AsSpan(first * crosscoder.E, count * crosscoder.E), part_BE);
                crosscoder.Encode(part_BE, code);
                each(code, first + count);
            }

            acts_BE.Buffer.Dispose();
        }
    }
}
