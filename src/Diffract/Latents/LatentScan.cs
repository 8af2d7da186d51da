using Diffract.Compute.Kernels;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>What loose activations add to a latent table (spec 6.1, 6.2, 6.4): maximum and rate of each latent, its statistics on template tokens, and the published cache of sparse activations.</summary>
static class LatentScan
{
    /// <returns>What was seen, for the summary.</returns>
    public static string Add(IBackend backend, IProgressSink progress, LooseLatentsSettings settings, string activations, FeatureTable table, CancellationToken stop)
    {
        LooseReading reading = new()
        {
            Folder = settings.Folder,
            Activations = activations,
            InputScale = settings.InputScale,
            AllowUnsetThreshold = settings.AllowUnsetThreshold,
            Code = settings.Code,
            Difference = settings.Difference,
        };
        using LooseCodes codes = LooseCodes.Open(backend, progress, reading, "latents", codeNeeded: false, stop);
        IReadOnlyList<TokenLines>? lines = settings.Ids is { } ids ? TokenLines.Read(ids) : null;
        if (lines is not null)
        {
            TokenLines.RequireRows(lines, settings.Ids!, activations, codes.Rows);
        }

        ScanSummary summary = ScanSummary.Of(codes, progress, stop);
        table.Set("max_act_val", summary.Max_L.Select(m => (double)m));
        table.Set("freq_val", summary.Rates_L);
        string said = FormattableString.Invariant($"{summary.Silent} never active in {summary.Tokens} tokens");
        if (lines is null)
        {
            return said;
        }

        TemplateStatistics template = new(summary.Max_L);
        LatentCacheFiles? cache = settings.Cache is null ? null : new LatentCacheFiles(settings.CacheLatents is { } file ? IndexFile.Read("--cache-latents", file, codes.Crosscoder.Latents) : [.. Enumerable.Range(0, codes.Crosscoder.Latents)]);
        LooseSequences.ForEach(codes, lines, "latents", progress, (line, entries) =>
        {
            if (line.Roles is { } roles)
            {
                template.Add(roles, entries);
            }

            cache?.Add(line.Ids, entries);
        }, stop);
        cache?.Write(settings.Cache!, settings.PadId);
        if (template.Chats > 0)
        {
            foreach ((string column, double[] values) in template.Columns())
            {
                table.Set(column, values);
            }

            foreach (string empty in template.Tokens.Where(t => t.Value == 0).Select(t => t.Key))
            {
                progress.Warn($"no token is in the group {empty}: its columns are empty");
            }
        }

        if (settings.Template is { } folder)
        {
            if (template.Chats == 0)
            {
                throw new DiffractException($"{settings.Ids} holds no chat with roles; wanted lines with ids and roles, as `diffract tokenize` writes them, for --template");
            }

            template.Write(folder);
        }

        return $"{said} of {template.Chats} chats{(cache is null ? "" : $", {cache.Entries} activations in {settings.Cache}")}";
    }
}
