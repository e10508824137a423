//! The weather that the devices measure: hours of a normal year in Seattle. The origin stands in `data/README.md`.

use serde::Deserialize;

/// The hours of the file, in order.
#[derive(Debug)]
pub(crate) struct Weather {
    hours: Vec<Hour>,
}

/// What a weather station says at one hour.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct Hour {
    /// Air pressure in hPa.
    pub pressure: f64,
    /// Degrees Celsius.
    pub temperature: f64,
    /// Metres per second.
    pub wind: f64,
}

impl Weather {
    /// Reads the file that is part of the program. Cost: some milliseconds.
    ///
    /// # Errors
    /// The file is not what it was when the program was written.
    pub(crate) fn of_seattle() -> Result<Self, csv::Error> {
        let mut reader = csv::Reader::from_reader(SEATTLE.as_bytes());
        Ok(Self { hours: reader.deserialize().collect::<Result<_, _>>()? })
    }

    /// The `turn`-th report of a device, and the number of its hour in the year. The devices begin at different days, so
    /// that each has its own weather, and begin again after a year.
    #[must_use]
    pub(crate) fn report(&self, device: u32, devices: u32, turn: u64) -> (u64, Hour) {
        let len = self.hours.len() as u64;
        let begin = len * u64::from(device) / u64::from(devices.max(1));
        let index = (begin + turn) % len;
        (index + 1, self.hours[usize::try_from(index).expect("an index of a vector")])
    }
}

const SEATTLE: &str = include_str!("../../data/seattle-weather-hourly-normals.csv");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_whole() {
        let weather = Weather::of_seattle().unwrap();
        assert_eq!(weather.hours.len(), 8_759);
        let first = Hour { pressure: 1016.6, temperature: 4.0, wind: 3.8 };
        assert_eq!(weather.report(0, 12, 0), (1, first));
    }

    #[test]
    fn devices_have_their_own_weather_and_a_year_ends() {
        let weather = Weather::of_seattle().unwrap();
        assert_eq!(weather.report(6, 12, 0).0, 8_759 / 2 + 1);
        assert_eq!(weather.report(0, 12, 8_759), weather.report(0, 12, 0));
    }
}
