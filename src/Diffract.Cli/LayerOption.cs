using System.CommandLine;
using System.CommandLine.Parsing;
using Diffract.Runs;

namespace Diffract.Cli;

/// <summary>The option --layer of a pair: a block, or one for each model.</summary>
static class LayerOption
{
    /// <param name="description">What it is for; how it is written is added.</param>
    /// <param name="listed">May be several, with commas; its value is the first.</param>
    /// <param name="required">Whether it has to be given.</param>
    public static Option<LayerPair?> Of(string description, bool listed = false, bool required = false)
        => new("--layer") { Description = description + " BASE:CHAT where the two models are read after different blocks.", Required = required, CustomParser = result => Parse(result, listed) };

    static LayerPair? Parse(ArgumentResult result, bool listed)
    {
        string[] values = listed ? result.Tokens[0].Value.Split(',') : [result.Tokens[0].Value];
        string? wrong = values.FirstOrDefault(v => v.Contains('-', StringComparison.Ordinal) || !LayerPair.TryParse(v, out _));
        if (wrong is not null)
        {
            result.AddError($"--layer {wrong} does not fit; wanted a block, such as 13, or base and chat model's, such as 13:12{(listed ? ", or several, with commas" : "")}");
            return null;
        }

        return LayerPair.TryParse(values[0], out LayerPair layers) ? layers : null;
    }
}
