using System.CommandLine;
using Diffract.Evidence;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract analyses</c>: what latent tables say about their ratios, as numbers for figures.</summary>
static class AnalysesCommand
{
    public static Command Create()
    {
        Command command = new("analyses", """
            Makes the distributions behind the published figures from latent tables: histograms by class, ratios, latents against threshold, rank curves, correlation with frequency.

            Loose files: diffract analyses --table T.csv [--table S.csv] [--crosscoder DIR] --out A.json
              Tables are latents.csv and scaling.csv of a run, a feature_df.csv, or any with their columns; the first, unnamed column is the latent. Ratios are looked at of the latents
              tagged chat-only, or of --latents. histograms: dec_norm_diff, cosines and log10 of frequency by class. ratios: scatter (both ratios in (0, 1.1)), their histograms (without a
              base beta below 0), betas (clipped to 100), and how many latents lie below each threshold. frequency: Pearson's correlation. rankCurves: ranks by dec_norm_diff of the 100
              latents of lowest ratio. templateOverlay: those with more than half of their activations on template tokens. similarity: groups of latents whose chat decoder rows have a
              cosine above --similarity. What lacks its column is left out and named in missing; a latent without a number is left out and counted.
            """);
        Option<string[]> tables = new("--table") { Description = "CSV table; may be repeated, later columns win.", Required = true, AllowMultipleArgumentsPerToken = true };
        Option<string?> latents = new("--latents") { Description = "JSON array of the latents whose ratios are looked at. Default: those tagged chat-only." };
        Option<string?> crosscoder = new("--crosscoder") { Description = "Folder of the dictionary, or its name on the hub, for groups by similarity. Default: no groups." };
        Option<double> similarity = new("--similarity") { Description = "Cosine above which two latents are of one group.", DefaultValueFactory = _ => 0.9 };
        Option<string> output = new("--out") { Description = "JSON file to write.", Required = true };
        foreach (Option option in (Option[])[tables, latents, crosscoder, similarity, output])
        {
            command.Options.Add(option);
        }

        new CommonOptions().Run(command, (parse, backend, progress, stop) => LooseAnalyses.Run(
            backend, progress, parse.GetValue(tables)!, parse.GetValue(latents), parse.GetValue(crosscoder) is { } given ? Places.Dictionary(given, progress, stop) : null,
            parse.GetValue(similarity), parse.GetValue(output)!, stop));
        return command;
    }
}
