using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>Twin latents on loose files: which pairs there are, on which tokens both fire, and the same of the control.</summary>
public static class LooseTwins
{
    /// <param name="backend">Where kernels run.</param>
    /// <param name="progress">Who listens.</param>
    /// <param name="dictionary">What is looked at.</param>
    /// <param name="pairsFile">JSON array of pairs; null: those of the weights.</param>
    /// <param name="maximaFile">safetensors with <c>max_activation</c> [L], scaled; null: the maxima over the activations.</param>
    /// <param name="seed">Of the control's pairs.</param>
    /// <param name="output">JSON to write.</param>
    /// <param name="stop">Ctrl-C.</param>
    public static void Run(
        IBackend backend, IProgressSink progress, LooseReading dictionary, string? pairsFile, string? maximaFile, int seed, string output, CancellationToken stop)
    {
        using LooseCodes codes = LooseCodes.Open(backend, progress, dictionary, "twins", codeNeeded: false, stop);
        if (codes.Crosscoder.Config.Sae && pairsFile is null)
        {
            throw DiffractException.Argument($"{dictionary.Folder} is an SAE of one model, which has no chat-only and base-only latents; name pairs with --pairs");
        }

        if (pairsFile is null && !codes.Crosscoder.Config.EqualWidths)
        {
            throw new DiffractException($"{dictionary.Folder} has models of width {string.Join(" and ", codes.Crosscoder.Config.Widths)}; cosines between them want one space: name pairs with --pairs");
        }

        Dictionary<(int, int), double> cosines = [];
        (int First, int Second)[] pairs;
        int? candidates = null;
        if (pairsFile is not null)
        {
            pairs = TwinPairs.Read(pairsFile, codes.Crosscoder.Latents);
        }
        else
        {
            ((int Chat, int Base, double Cosine)[] found, candidates) = TwinPairs.Find(codes.Crosscoder, backend);
            pairs = [.. found.Select(f => (f.Chat, f.Base))];
            cosines = found.ToDictionary(f => (f.Chat, f.Base), f => f.Cosine);
        }

        (int First, int Second)[] control = TwinPairs.Control(pairs, seed);
        float[] max_L = maximaFile is not null ? CodeMaxima.Read(maximaFile, codes.Crosscoder.Latents) : ScaledMaxima(codes, progress, stop);
        Histograms counted = new([.. pairs, .. control], max_L);
        codes.ForEach(0, codes.Rows, whole: false, (row, acts_BE, code) =>
        {
            counted.Add(codes.Input, code);
            progress.Report("twins", row + acts_BE.Rows, codes.Rows, "rows");
        }, stop);
        JsonObject json = new()
        {
            ["edges"] = new JsonArray([.. TwinHistogram.Edges.Select(e => (JsonNode)e)]),
            ["tokens"] = codes.Rows,
            ["cosineAbove"] = candidates is null ? null : TwinPairs.CosineAbove,
            ["candidates"] = candidates,
            ["rel"] = counted.ToJson(0, pairs.Length, relative: true, cosines),
            ["abs"] = counted.ToJson(0, pairs.Length, relative: false, cosines),
            ["control"] = new JsonObject
            {
                ["rel"] = counted.ToJson(pairs.Length, control.Length, relative: true, []),
                ["abs"] = counted.ToJson(pairs.Length, control.Length, relative: false, []),
            },
        };
        AtomicFile.WriteText(output, json.ToJsonString(Provenance.Json) + "\n");
        string mean = pairs.Length == 0 ? "" : FormattableString.Invariant($", mean divergence {counted.Mean(0, pairs.Length):F3}{(control.Length == 0 ? "" : $", of the control {counted.Mean(pairs.Length, control.Length):F3}")} (absolute)");
        progress.Done("twins", $"{pairs.Length} pairs{(candidates is { } c ? $" out of {c} candidates" : "")} over {codes.Rows} tokens{mean}; {output}");
    }

    static float[] ScaledMaxima(LooseCodes codes, IProgressSink progress, CancellationToken stop)
    {
        float[] max_L = CodeMaxima.Of(codes, 0, codes.Rows, progress, stop);
        if (!codes.Crosscoder.Decoupled || codes.Input.CodeModel is not null)
        {
            return [.. max_L.Select((m, j) => m * codes.Input.Scale(j))];
        }

        // A decoupled pair's scale depends on the models in which it is active.
        Array.Clear(max_L);
        codes.ForEach(0, codes.Rows, whole: false, (_, _, code) =>
        {
            for (int j = 0; j < max_L.Length; j++)
            {
                for (int p = code.LatentStart.Span<int>()[j]; p < code.LatentStart.Span<int>()[j + 1]; p++)
                {
                    max_L[j] = Math.Max(max_L[j], codes.Input.Scaled(code, j, p));
                }
            }
        }, stop);
        return max_L;
    }

    /// <summary>Both modes of every pair: relative to each latent's own maximum, and to the larger of the two.</summary>
    sealed class Histograms((int First, int Second)[] pairs, float[] max_L)
    {
        readonly (TwinHistogram Relative, TwinHistogram Absolute)[] _of = [.. pairs.Select(_ => (new TwinHistogram(), new TwinHistogram()))];
        readonly Dictionary<int, (int Token, float Value)[]> _active = [];

        public void Add(DictionaryInput input, SparseCode code)
        {
            _active.Clear();
            for (int i = 0; i < pairs.Length; i++)
            {
                (int a, int b) = pairs[i];
                (int, float)[] first = Active(input, code, a), second = Active(input, code, b);
                float larger = Math.Max(max_L[a], max_L[b]);
                _of[i].Relative.Add(code.Tokens, first, second, max_L[a], max_L[b]);
                _of[i].Absolute.Add(code.Tokens, first, second, larger, larger);
            }
        }

        public double Mean(int from, int count) => _of.Skip(from).Take(count).Average(h => h.Absolute.Divergence());

        public JsonArray ToJson(int from, int count, bool relative, Dictionary<(int, int), double> cosines)
        {
            JsonArray all = [];
            for (int i = from; i < from + count; i++)
            {
                TwinHistogram of = relative ? _of[i].Relative : _of[i].Absolute;
                JsonObject entry = new()
                {
                    ["pair"] = new JsonArray(pairs[i].First, pairs[i].Second),
                    ["histogram"] = new JsonArray([.. Enumerable.Range(0, TwinHistogram.Buckets).Select(a => (JsonNode)new JsonArray([.. Enumerable.Range(0, TwinHistogram.Buckets).Select(b => (JsonNode)of.Counts[a * TwinHistogram.Buckets + b])]))]),
                    ["divergence"] = of.Divergence(),
                };
                if (cosines.TryGetValue(pairs[i], out double cosine))
                {
                    entry["cosine"] = cosine;
                }

                all.Add((JsonNode)entry);
            }

            return all;
        }

        (int Token, float Value)[] Active(DictionaryInput input, SparseCode code, int latent)
        {
            if (!_active.TryGetValue(latent, out (int, float)[]? there))
            {
                int first = code.LatentStart.Span<int>()[latent], end = code.LatentStart.Span<int>()[latent + 1];
                there = new (int, float)[end - first];
                for (int p = first; p < end; p++)
                {
                    there[p - first] = (code.PairToken.Span<int>()[p], input.Scaled(code, latent, p));
                }

                _active[latent] = there;
            }

            return there;
        }
    }
}
