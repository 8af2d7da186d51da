using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Latents;
using Diffract.Runs;

namespace Diffract.Evidence;

/// <summary>The analyses of latent tables, and of a dictionary's decoder, into one JSON file.</summary>
public static class LooseAnalyses
{
    /// <param name="backend">Where kernels run.</param>
    /// <param name="progress">Who listens.</param>
    /// <param name="tables">CSV tables of the same latents; a later one's column replaces an earlier one's.</param>
    /// <param name="latentsFile">JSON array of the latents whose ratios are looked at; null: the chat-only ones.</param>
    /// <param name="crosscoderFolder">For groups by decoder similarity; null: none.</param>
    /// <param name="similarityAbove">Cosine above which two latents are in one group.</param>
    /// <param name="output">JSON to write.</param>
    /// <param name="stop">Ctrl-C.</param>
    /// <exception cref="DiffractException">Tables of other numbers of latents.</exception>
    public static void Run(
        IBackend backend, IProgressSink progress, IReadOnlyList<string> tables, string? latentsFile, string? crosscoderFolder, double similarityAbove, string output, CancellationToken stop)
    {
        if (tables.Count == 0)
        {
            throw DiffractException.Argument("--table is missing; wanted one latent table at least");
        }

        FeatureTable table = FeatureTable.Read(tables[0]);
        foreach (string path in tables.Skip(1))
        {
            FeatureTable other = FeatureTable.Read(path);
            if (other.Latents != table.Latents)
            {
                throw new DiffractException($"{path} has {other.Latents} latents, {tables[0]} has {table.Latents}; the two do not belong together");
            }

            foreach (string column in other.Columns)
            {
                table.Set(column, other.Text(column));
            }
        }

        JsonObject json = new TableAnalyses(table).ToJson(latentsFile is null ? null : IndexFile.Read("--latents", latentsFile, table.Latents));
        if ((bool)json["few"]!)
        {
            progress.Warn($"{json["latents"]} latents are looked at, fewer than {IndexSets.Few}: too few for a distribution or a correlation to mean anything");
        }

        foreach ((string part, JsonNode? columns) in json["missing"]!.AsObject())
        {
            progress.Warn($"{part} is left out: the table lacks {string.Join(", ", columns!.AsArray().Select(c => (string)c!))}");
        }

        if (crosscoderFolder is not null)
        {
            json["similarity"] = Similarity(backend, progress, crosscoderFolder, table.Latents, similarityAbove, stop);
        }

        AtomicFile.WriteText(output, json.ToJsonString(Provenance.Json) + "\n");
        progress.Done("analyses", $"{table.Latents} latents, {json["latents"]} looked at; {output}");
    }

    static JsonObject Similarity(IBackend backend, IProgressSink progress, string folder, int latents, double above, CancellationToken stop)
    {
        if (!(above > 0 && above < 1))
        {
            throw DiffractException.Argument(FormattableString.Invariant($"--similarity {above} is out of range; wanted a cosine between 0 and 1"));
        }

        using Crosscoder crosscoder = CrosscoderFolder.Load(folder, backend);
        if (crosscoder.Latents != latents)
        {
            throw new DiffractException($"{folder} has {crosscoder.Latents} latents, the table {latents}; the two do not belong together");
        }

        int[] offsets = crosscoder.ModelOffsets;
        Matrix chat_LD = crosscoder.WDec_LE.SliceColumns(offsets[^2], offsets[^1] - offsets[^2]);
        int[][] groups = SimilarityGroups.Of(backend, chat_LD, above, progress, stop);
        return new JsonObject
        {
            ["above"] = above,
            ["alone"] = latents - groups.Sum(g => g.Length),
            ["groups"] = new JsonArray([.. groups.Select(g => (JsonNode)new JsonArray([.. g.Select(j => (JsonNode)j)]))]),
        };
    }
}
