using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Planted;

/// <summary>
/// <c>planted/</c> of a run: the dictionary as tensors, a row a latent as CSV, and the true code of the held-out documents in the form of <c>latents/&lt;name&gt;/activations.safetensors</c>.
/// </summary>
public sealed class TruthFolder : IDisposable
{
    public const string DictionaryFile = "dictionary.safetensors";
    public const string TableFile = "latents.csv";
    const string Header = "latent,class,rate,base_norm,chat_norm,cosine,partner,correlated_with,correlation,train_tokens,scaling_tokens,held_out_tokens";
    const int BatchRows = 1024;

    TruthFolder(StageManifest manifest, TruthLatent[] latents, float[] directions, LatentActivations codes)
        => (Manifest, Latents, Directions, Codes) = (manifest, latents, directions, codes);

    public StageManifest Manifest { get; }

    public IReadOnlyList<TruthLatent> Latents { get; }

    /// <summary>[N, E], base first.</summary>
    public float[] Directions { get; }

    /// <summary>True codes of the held-out documents.</summary>
    public LatentActivations Codes { get; }

    /// <summary>E.</summary>
    public int Columns => Directions.Length / Latents.Count;

    /// <summary>The truth of a run; refuses a run without one, and a damaged one.</summary>
    public static TruthFolder Open(RunFolder run)
    {
        StageManifest manifest = StageManifest.TryLoad(run.Planted) is null
            ? throw new DiffractException($"{run.Root} has no planted truth: only a run made by `diffract planted` can be scored")
            : Provenance.Require(run, run.Planted, $"diffract planted {run.Root}", thorough: true);
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(run.Planted, DictionaryFile));
        TruthLatent[] latents = ReadTable(Path.Combine(run.Planted, TableFile));
        long width = (long)manifest.Settings["width"]!;
        float[] inBase = file.Floats("direction.base", latents.Length, width), inChat = file.Floats("direction.chat", latents.Length, width), directions = new float[2 * inBase.Length];
        for (int i = 0; i < latents.Length; i++)
        {
            int d = (int)width;
            inBase.AsSpan(i * d, d).CopyTo(directions.AsSpan(2 * i * d));
            inChat.AsSpan(i * d, d).CopyTo(directions.AsSpan(((2 * i) + 1) * d));
        }

        return new TruthFolder(manifest, latents, directions, LatentActivations.OpenFile(Path.Combine(run.Planted, LatentActivations.FileName)));
    }

    public void Dispose() => Codes.Dispose();

    internal static (Dictionary<string, FileSeal> Outputs, JsonObject Facts) Write(string folder, PlantedTruth dictionary, TokenDocument[] documents, TrueCodes codes, CancellationToken stop)
    {
        long[,] counts = Count(dictionary.Latents.Count, documents, codes);
        TokenDocument[] heldOut = [.. documents.Where(d => d.Split == Split.HeldOut)];
        Dictionary<string, FileSeal> outputs = new()
        {
            [DictionaryFile] = WriteDictionary(folder, dictionary),
            [TableFile] = WriteTable(folder, dictionary.Latents, counts),
        };
        if (heldOut.Length == 0)
        {
            throw new DiffractException($"no document of {documents.Length} is held out; give more --tokens");
        }

        outputs[LatentActivations.FileName] = WriteCodes(folder, dictionary.Latents.Count, heldOut, codes, stop);
        long[] totals = [.. Enumerable.Range(0, dictionary.Latents.Count).Select(i => counts[i, 0] + counts[i, 1] + counts[i, 2])];
        long tokens = codes.Tokens;
        return (outputs, new JsonObject
        {
            ["tokens"] = tokens,
            ["l0"] = (double)totals.Sum() / tokens,
            ["fewestTokensOfALatent"] = totals.Min(),
            ["classes"] = new JsonObject(TruthClasses.All.Select(c => KeyValuePair.Create<string, JsonNode?>(TruthClasses.Name(c), dictionary.Latents.Count(l => l.Class == c)))),
        });
    }

    static FileSeal WriteDictionary(string folder, PlantedTruth dictionary)
    {
        int width = dictionary.Settings.Width, n = dictionary.Latents.Count;
        float[] Of(int model) => [.. Enumerable.Range(0, n).SelectMany(i => dictionary.Direction(i).Slice(model * width, width).ToArray())];
        SafetensorsWriter writer = new();
        writer.Add("direction.base", Of(0), n, width);
        writer.Add("direction.chat", Of(1), n, width);
        writer.Add("mean", dictionary.Mean, 2, width);
        writer.Add("rate", dictionary.Latents.Select(l => l.Rate).ToArray(), n);
        writer.Add("class", dictionary.Latents.Select(l => (int)l.Class).ToArray(), n);
        writer.Add("partner", dictionary.Latents.Select(l => l.Partner).ToArray(), n);
        writer.Metadata["classes"] = string.Join(", ", TruthClasses.All.Select(TruthClasses.Name));
        return writer.Save(Path.Combine(folder, DictionaryFile));
    }

    static long[,] Count(int latents, TokenDocument[] documents, TrueCodes codes)
    {
        long[,] counts = new long[latents, 3];
        foreach (TokenDocument d in documents)
        {
            for (long token = d.Start; token < d.Start + d.Length; token++)
            {
                foreach (int latent in codes.Latents(token))
                {
                    counts[latent, (int)d.Split]++;
                }
            }
        }

        return counts;
    }

    static FileSeal WriteTable(string folder, IReadOnlyList<TruthLatent> latents, long[,] counts)
    {
        StringBuilder text = new(Header);
        text.Append('\n');
        foreach (TruthLatent l in latents)
        {
            text.Append(
                CultureInfo.InvariantCulture,
                $"{l.Index},{TruthClasses.Name(l.Class)},{l.Rate:R},{l.BaseNorm:R},{l.ChatNorm:R},{l.Cosine:R},{l.Partner},{l.CorrelatedWith},{l.Correlation:R},{counts[l.Index, 0]},{counts[l.Index, 1]},{counts[l.Index, 2]}\n");
        }

        return AtomicFile.WriteText(Path.Combine(folder, TableFile), text.ToString());
    }

    static TruthLatent[] ReadTable(string path)
    {
        string[] lines = File.ReadAllLines(path);
        try
        {
            return lines.Length > 0 && lines[0] == Header ? [.. lines.Skip(1).Select(Read)] : throw new FormatException();
        }
        catch (Exception e) when (e is FormatException or IndexOutOfRangeException or InvalidOperationException)
        {
            throw new DiffractException($"{path} is not a table of true latents; run `diffract planted --fresh`", inner: e);
        }

        static TruthLatent Read(string line)
        {
            string[] f = line.Split(',');
            double Number(int i) => double.Parse(f[i], CultureInfo.InvariantCulture);
            int Whole(int i) => int.Parse(f[i], CultureInfo.InvariantCulture);
            return new TruthLatent(Whole(0), TruthClasses.All.Single(c => TruthClasses.Name(c) == f[1]), Number(2), Whole(6), Whole(7), Number(8), Number(3), Number(4), Number(5));
        }
    }

    static unsafe FileSeal WriteCodes(string folder, int latents, TokenDocument[] documents, TrueCodes codes, CancellationToken stop)
    {
        using LatentActivationsWriter writer = new(folder, latents, documents);
        using SparseCode code = new(BatchRows, latents, 1);
        Matrix scale_L = Matrix.Host(1, latents);
        using IBuffer scale = scale_L.Buffer;
        scale_L.Row(0).Fill(1);
        foreach (TokenDocument d in documents)
        {
            // A document is at most as long as a batch. The writer reads the order by token only.
            int pairs = 0;
            for (int t = 0; t < d.Length; t++)
            {
                pairs += codes.Latents(d.Start + t).Length;
            }

            code.Reserve(pairs);
            (code.Tokens, code.Pairs) = (d.Length, pairs);
            for (int t = 0, at = 0; t < d.Length; t++)
            {
                ReadOnlySpan<int> fired = codes.Latents(d.Start + t);
                ReadOnlySpan<float> values = codes.Values(d.Start + t);
                for (int i = 0; i < fired.Length; i++, at++)
                {
                    (code.TokenLatent.Ints[at], code.TokenPairs.Ints[at], code.PairValue.Floats[at]) = (fired[i], at, values[i]);
                }

                code.TokenStart.Ints[t + 1] = at;
            }

            writer.Add(code, scale_L, PlantedDocuments.Roles(d));
        }

        return writer.Save(stop);
    }
}
