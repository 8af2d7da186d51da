using System.CommandLine;
using Diffract.Activations;
using Diffract.Planted;
using Diffract.Runs;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract planted</c>: a run whose activations are drawn from a known dictionary.</summary>
static class PlantedCommand
{
    static readonly PlantedSettings Defaults = new();

    public static Command Create()
    {
        Command command = new("planted", """
            Makes a run folder of paired activations drawn from a known dictionary: tokens/ and activations/0/ as tokenize and harvest write them, and the truth in planted/. `train`, `latents` and
            `scale` work on it as on any run, and `planted-score` holds their claims against the truth. There are no models behind it: `harvest` and `evidence` refuse it.
            """);
        Argument<string> run = new("run") { Description = "Run folder to make." };
        Option<bool> fresh = new("--fresh") { Description = "Replace what is there. Default: keep it." };
        Arguments arguments = new();
        command.Arguments.Add(run);
        arguments.AddTo(command);
        command.Options.Add(fresh);
        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            PlantedSettings settings = arguments.Settings(parse);
            settings.Check();
            PlantedStage.Run(new StageContext(RunFolder.Create(parse.GetValue(run)!), backend, progress, parse.GetValue(fresh), stop), settings);
        });
        return command;
    }

    /// <summary>The verb's options, in the order of the help.</summary>
    sealed class Arguments
    {
        readonly Option<int> _latents = new("--latents") { Description = "True latents of both models together.", DefaultValueFactory = _ => Defaults.Latents };
        readonly Option<int> _width = new("--width") { Description = "Width of each model.", DefaultValueFactory = _ => Defaults.Width };
        readonly Option<long> _tokens = new("--tokens") { Description = "Tokens of all splits (60% train, 20% scaling, 20% held out).", DefaultValueFactory = _ => Defaults.Tokens };
        readonly Option<int> _seed = new("--seed") { Description = "Decides everything that is drawn.", DefaultValueFactory = _ => Defaults.Seed };
        readonly Option<string> _shares = new("--shares")
        {
            Description = "Percent of the latents that are shared, rotated, rescaled, base-only, chat-only, decoupled.",
            DefaultValueFactory = _ => string.Join(',', Defaults.Shares),
        };

        readonly Option<double> _rateMedian = new("--rate-median") { Description = "Median of the log-normal firing rates.", DefaultValueFactory = _ => Defaults.RateMedian };
        readonly Option<double> _rateSigma = new("--rate-sigma") { Description = "Standard deviation of their logarithm.", DefaultValueFactory = _ => Defaults.RateSigma };
        readonly Option<double> _rateLow = new("--rate-low") { Description = "Smallest firing rate.", DefaultValueFactory = _ => Defaults.RateLow };
        readonly Option<double> _rateHigh = new("--rate-high") { Description = "Largest firing rate.", DefaultValueFactory = _ => Defaults.RateHigh };
        readonly Option<double> _cosine = new("--cosine") { Description = "Rotated latents: cosine between the two models' directions.", DefaultValueFactory = _ => Defaults.Cosine };
        readonly Option<double> _ratioLow = new("--ratio-low") { Description = "Rescaled latents: smallest norm in the weaker model, of 1.", DefaultValueFactory = _ => Defaults.RatioLow };
        readonly Option<double> _ratioHigh = new("--ratio-high") { Description = "Rescaled latents: largest norm in the weaker model.", DefaultValueFactory = _ => Defaults.RatioHigh };
        readonly Option<double> _overlap = new("--overlap") { Description = "Decoupled pairs: share of the tokens with either on which both fire.", DefaultValueFactory = _ => Defaults.Overlap };
        readonly Option<double> _correlated = new("--correlated") { Description = "Share of the latents that fire in correlated pairs.", DefaultValueFactory = _ => Defaults.CorrelatedShare };
        readonly Option<double> _correlation = new("--correlation") { Description = "Correlation of such a pair, where its rates allow it.", DefaultValueFactory = _ => Defaults.Correlation };
        readonly Option<double> _spread = new("--spread") { Description = "Standard deviation of the logarithm of magnitudes, whose mean is 1.", DefaultValueFactory = _ => Defaults.Spread };
        readonly Option<double> _noise = new("--noise") { Description = "Length of the noise in each model; a latent's norm is 1.", DefaultValueFactory = _ => Defaults.Noise };
        readonly Option<double> _outlier = new("--outlier") { Description = "Mean of the outlier dimension; 0 for none.", DefaultValueFactory = _ => Defaults.Outlier };
        readonly Option<string> _storage = new("--storage") { Description = "How activations are stored: bf16, f32 or int8.", DefaultValueFactory = _ => "bf16" };

        public void AddTo(Command command)
        {
            foreach (Option option in (Option[])[
                _latents, _width, _tokens, _seed, _shares, _rateMedian, _rateSigma, _rateLow, _rateHigh, _cosine, _ratioLow, _ratioHigh, _overlap, _correlated, _correlation, _spread, _noise, _outlier, _storage])
            {
                command.Options.Add(option);
            }

            _storage.AcceptOnlyFromAmong("bf16", "f32", "int8");
        }

        public PlantedSettings Settings(ParseResult parse) => new()
        {
            Latents = parse.GetValue(_latents),
            Width = parse.GetValue(_width),
            Tokens = parse.GetValue(_tokens),
            Seed = parse.GetValue(_seed),
            Shares = [.. parse.GetValue(_shares)!.Split(',').Select(s => int.TryParse(s, out int percent) ? percent
                : throw DiffractException.Argument($"--shares {parse.GetValue(_shares)} does not fit; wanted six whole percentages such as {string.Join(',', Defaults.Shares)}"))],
            RateMedian = parse.GetValue(_rateMedian),
            RateSigma = parse.GetValue(_rateSigma),
            RateLow = parse.GetValue(_rateLow),
            RateHigh = parse.GetValue(_rateHigh),
            Cosine = parse.GetValue(_cosine),
            RatioLow = parse.GetValue(_ratioLow),
            RatioHigh = parse.GetValue(_ratioHigh),
            Overlap = parse.GetValue(_overlap),
            CorrelatedShare = parse.GetValue(_correlated),
            Correlation = parse.GetValue(_correlation),
            Spread = parse.GetValue(_spread),
            Noise = parse.GetValue(_noise),
            Outlier = parse.GetValue(_outlier),
            Storage = StorageKinds.Parse(parse.GetValue(_storage)!),
        };
    }
}
