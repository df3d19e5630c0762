//! Who finds nothing to do writes nothing.

use super::{LIGHT, Site, calm};

#[test]
fn what_is_not_there_is_not_made_to_be_taken_away() {
    let _calm = calm();
    let site = Site::of_admin("nowhere", LIGHT);
    site.run(&["remove", "--yes"]).expect(0);
    site.run(&["down"]).expect(0);
    site.assert_gone();
}
